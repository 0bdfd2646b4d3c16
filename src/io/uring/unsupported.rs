//! Why there is no ring: what the kernel says, beside what the machine is set to, and what to do.
//! Not the trying, which `support` does.

use std::io;

/// Why the ring can't be had.
#[derive(Debug, thiserror::Error)]
pub enum Unsupported {
    /// By the operator of the machine.
    #[error("the sysctl kernel.io_uring_disabled is {level}: {who}")]
    Disabled {
        /// 1 or 2; see Documentation/admin-guide/sysctl/kernel.rst of the kernel.
        level: String,
        /// Who may use it all the same, and what to do.
        who: &'static str,
    },
    /// By a filter of system calls, or by rules such as SELinux's.
    #[error(
        "the system denies it ({what}: {error}), most likely a container's or a service's filter of \
         system calls (seccomp); let it allow io_uring_setup, io_uring_enter and io_uring_register"
    )]
    Denied {
        /// What was tried.
        what: String,
        /// What came of it.
        error: io::Error,
    },
    /// By age.
    #[error(
        "this kernel ({kernel}) is too old or was built without it: it lacks {lacks}; Linux 6.10 \
         has all that is needed"
    )]
    TooOld {
        /// As uname(2) tells it.
        kernel: String,
        /// What was tried.
        lacks: String,
    },
    /// By want of memory or descriptors.
    #[error(
        "there are not enough descriptors or not enough memory for it ({0}); raise the limits of open \
         files and of locked memory (LimitMEMLOCK=, ulimit -l): a ring locks about 200 KiB for each \
         reactor, and those of one user's processes count together"
    )]
    Wanting(io::Error),
}

/// What else the machine tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// The sysctl kernel.io_uring_disabled, which kernels with io_uring have since Linux 6.6.
    disabled: Option<String>,
    /// This process is under a filter of system calls.
    is_filtered: bool,
    /// As uname(2) tells it.
    kernel: String,
}

impl Circumstances {
    /// What this machine tells.
    pub fn here() -> Self {
        let read = |path| std::fs::read_to_string(path).ok();
        let disabled = read("/proc/sys/kernel/io_uring_disabled");
        let status = read("/proc/self/status").unwrap_or_default();
        let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_default();
        Circumstances {
            disabled: disabled.map(|level| level.trim().to_owned()),
            is_filtered: is_filtered(&status),
            kernel: kernel.trim().to_owned(),
        }
    }

    /// What an error means that came of trying something.
    pub fn judge(&self, what: &str, error: io::Error) -> Unsupported {
        match (error.raw_os_error(), self.disabled.as_deref()) {
            (Some(libc::EPERM), Some("1")) => Unsupported::Disabled {
                level: "1".to_owned(),
                who: "only privileged processes and members of kernel.io_uring_group may use it; set it \
                      to 0, or that to a group of the server's user",
            },
            (Some(libc::EPERM), Some(level)) if level != "0" => {
                let level = level.to_owned();
                Unsupported::Disabled { level, who: "nobody may use it; set it to 0" }
            }
            (Some(libc::EPERM | libc::EACCES), _) => self.denied(what, error),
            // A kernel that has the sysctl has the call.
            (Some(libc::ENOSYS), Some(_)) => self.denied(what, error),
            (Some(libc::ENOSYS), None) if self.is_filtered => self.denied(what, error),
            (Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM), _) => Unsupported::Wanting(error),
            _ => self.lacking(&format!("{what} ({error})")),
        }
    }

    /// A kernel that does not have what is needed.
    pub fn lacking(&self, what: &str) -> Unsupported {
        Unsupported::TooOld { kernel: self.kernel.clone(), lacks: what.to_owned() }
    }

    fn denied(&self, what: &str, error: io::Error) -> Unsupported {
        Unsupported::Denied { what: what.to_owned(), error }
    }
}

/// Whether a process is under a filter, by its `/proc/PID/status` (proc_pid_status(5)).
fn is_filtered(status: &str) -> bool {
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    mode.is_some_and(|mode| mode.trim() == "2")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(disabled: Option<&str>, is_filtered: bool, error: i32) -> String {
        let kernel = "6.1.0-test".to_owned();
        let disabled = disabled.map(str::to_owned);
        let circumstances = Circumstances { disabled, is_filtered, kernel };
        circumstances.judge("a ring", io::Error::from_raw_os_error(error)).to_string()
    }

    #[test]
    fn a_sysctl_is_named_with_its_value_and_what_to_do() {
        let nobody = told(Some("2"), false, libc::EPERM);
        assert!(nobody.contains("kernel.io_uring_disabled is 2: nobody"), "{nobody}");
        assert!(nobody.contains("set it to 0"), "{nobody}");
        let members = told(Some("1"), true, libc::EPERM);
        assert!(members.contains("kernel.io_uring_disabled is 1: only"), "{members}");
        assert!(members.contains("kernel.io_uring_group"), "{members}");
    }

    #[test]
    fn a_filter_is_told_from_a_sysctl_and_from_age() {
        for (disabled, is_filtered, error) in [
            (Some("0"), true, libc::EPERM),
            (Some("0"), false, libc::EPERM),
            (None, true, libc::EPERM),
            (Some("0"), false, libc::EACCES),
            (Some("2"), false, libc::EACCES),
            (Some("0"), true, libc::ENOSYS),
            (None, true, libc::ENOSYS),
        ] {
            let denied = told(disabled, is_filtered, error);
            assert!(denied.contains("seccomp") && denied.contains("io_uring_setup"), "{denied}");
            assert!(!denied.contains("too old"), "{denied}");
        }
    }

    #[test]
    fn an_old_kernel_is_named_with_what_it_lacks_and_which_has_it() {
        for error in [libc::ENOSYS, libc::EINVAL, libc::EOPNOTSUPP] {
            let old = told(None, false, error);
            for part in ["kernel (6.1.0-test) is too old", "it lacks a ring", "Linux 6.10"] {
                assert!(old.contains(part), "{old}");
            }
        }
    }

    #[test]
    fn want_of_descriptors_is_not_taken_for_age() {
        for error in [libc::EMFILE, libc::ENFILE, libc::ENOMEM] {
            let wanting = told(Some("0"), true, error);
            assert!(wanting.contains("not enough descriptors") && !wanting.contains("too old"));
        }
    }

    #[test]
    fn the_kernels_word_for_a_filter_is_understood() {
        assert!(is_filtered("Name:\tseccomp\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
        assert!(!is_filtered("Name:\tx\nSeccomp:\t0\nSeccomp_filters:\t2\n"));
        assert!(!is_filtered(""));
        assert!(!Circumstances::here().kernel.is_empty());
    }
}
