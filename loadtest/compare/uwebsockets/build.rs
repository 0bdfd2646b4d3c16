//! Compiles uWebSockets from the sources that the crate `libuwebsockets-sys` carries.
//! Not by that crate's own build, which takes libuv and OpenSSL: this is what its authors recommend
//! for Linux, bare epoll, with the flags of their own build (-O3, link-time optimisation,
//! -march=native, C++20) and without TLS and compression, which no workload uses.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

const CRATE: &str = "libuwebsockets-sys";

fn main() -> Result<(), Box<dyn Error>> {
    let sources = sources()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let sockets = sources.join("uSockets/src");
    let mut objects = sockets_library(&sockets)?;
    objects.extend(c_api(&sources, &sockets)?);
    link(&objects, &out)?;
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}

/// Where cargo keeps the unpacked crate, by what it says itself.
fn sources() -> Result<PathBuf, Box<dyn Error>> {
    let manifest = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml");
    let cargo = env::var("CARGO")?;
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("no packages in cargo's metadata")?;
    let package = packages.iter().find(|package| package["name"] == CRATE);
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.and_then(|path| Path::new(path).parent());
    Ok(folder.ok_or("cargo does not know where the sources are")?.join("uWebSockets"))
}

/// What both languages are compiled with, whatever cargo's profile is.
fn optimised() -> cc::Build {
    let mut build = cc::Build::new();
    build.opt_level(3).debug(false).warnings(false).define("LIBUS_NO_SSL", None);
    build.flag_if_supported("-march=native");
    if build.get_compiler().is_like_gnu() {
        build.flag("-flto");
    }
    build
}

/// The event loop and sockets, in C; epoll, by their header's own choice on Linux.
fn sockets_library(sockets: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut build = optimised();
    build.std("c11").include(sockets);
    for folder in [sockets.to_owned(), sockets.join("eventing"), sockets.join("crypto")] {
        for entry in folder.read_dir()? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "c") {
                build.file(path);
            }
        }
    }
    Ok(build.try_compile_intermediates()?)
}

/// The server, which is headers, by way of its C API.
fn c_api(sources: &Path, sockets: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut build = optimised();
    build.cpp(true).std("c++20").include(sources.join("src")).include(sockets);
    build.define("UWS_NO_ZLIB", None);
    build.file(sources.join("capi/libuwebsockets.cpp"));
    Ok(build.try_compile_intermediates()?)
}

/// Optimises across all objects now and leaves an ordinary one, since the linker that rustc brings
/// can't read gcc's intermediate form. Other compilers have none here, and their objects only join.
fn link(objects: &[PathBuf], out: &Path) -> Result<(), Box<dyn Error>> {
    let compiler = cc::Build::new().cpp(true).try_get_compiler()?;
    let whole = out.join("uwebsockets.o");
    let mut command = compiler.to_command();
    command.args(["-r", "-nostdlib"]);
    if compiler.is_like_gnu() {
        // In one partition: dividing what is not yet a program crashes gcc 12.
        command.args(["-O3", "-flto", "-flto-partition=none", "-flinker-output=nolto-rel"]);
    }
    let status = command.arg("-o").arg(&whole).args(objects).status()?;
    if !status.success() {
        return Err(format!("cannot link uWebSockets: {status}").into());
    }
    println!("cargo:rustc-link-arg-bins={}", whole.display());
    println!("cargo:rustc-link-arg-bins=-lstdc++");
    Ok(())
}
