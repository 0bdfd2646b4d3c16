# What the tests of tests/run come to: counted, summed up from the reports of suites, and told.
# Not to be run: tests/run reads it.

passed=0
failed=0
skipped=0
failures=()

count() { # passed failed
    passed=$((passed + $1))
    failed=$((failed + $2))
}

# What this machine can't do is left out, and said. Where changes are judged (.ci/run) it has failed.
skip() { # what why
    if [ -n "${CI:-}" ]; then
        count 0 1
        fail "$1 was left out: $2"
    else
        skipped=$((skipped + 1))
        echo "SKIPPED: $1: $2"
    fi
}

fail() { # what
    failures+=("$1")
    echo "FAILED: $1"
}

# In names, where it is not the default driver that is tested.
under=

# Runs one check that counts as a single test.
check() { # name command...
    local name=$1$under
    shift
    echo "--- $name"
    if "$@"; then
        count 1 0
    else
        count 0 1
        fail "$name"
    fi
}

# Runs a suite that reports its own tests. `tally` reads its log and prints "passed failed skipped".
suite() { # name limit tally command...
    local name=$1$under limit=$2 tally=$3 status good bad left_out
    shift 3
    echo "--- $name"
    timeout --kill-after=10 "$limit" "$@" 2>&1 | tee "$work/$name.log"
    status=${PIPESTATUS[0]}
    read -r good bad left_out < <("$tally" <"$work/$name.log")
    if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
        echo "$name took longer than $limit seconds"
    fi
    if [ "$left_out" -gt 0 ] && ! allowed "$name-skips"; then
        echo "$name left out $left_out tests; ALLOW_SKIP=$name-skips would allow that"
        bad=$((bad + left_out))
    fi
    # A suite that did not get as far as its tests, or was cut off among them, has failed too.
    if [ "$bad" -eq 0 ] && { [ "$status" -ne 0 ] || [ "$good" -eq 0 ]; }; then
        bad=1
    fi
    count "$good" "$bad"
    if [ "$bad" -gt 0 ]; then
        fail "$name: $bad of $((good + bad)), see $work/$name.log"
    fi
}

tally_cargo() {
    awk '/^test result: / {
        for (i = 1; i < NF; i++) {
            if ($(i + 1) == "passed;") good += $i
            if ($(i + 1) == "failed;") bad += $i
            if ($(i + 1) == "ignored;") skipped += $i
        }
    } END { print good + 0, bad + 0, skipped + 0 }'
}

tally_unittest() {
    awk '/^Ran [0-9]+ test/ { ran += $2 }
    /^FAILED \(|^OK \(/ {
        gsub(/[(),]/, " ")
        for (i = 1; i <= NF; i++) {
            split($i, part, "=")
            if (part[1] == "failures" || part[1] == "errors") bad += part[2]
            if (part[1] == "skipped") skipped += part[2]
        }
    } END { print ran - bad - skipped, bad + 0, skipped + 0 }'
}

tally_tap() {
    awk '/^# pass / { good += $3 }
    /^# (fail|cancelled) / { bad += $3 }
    /^# (skipped|todo) / { skipped += $3 }
    END { print good + 0, bad + 0, skipped + 0 }'
}

allowed() { # name
    case " ${ALLOW_SKIP:-} " in
    *" $1 "*) return 0 ;;
    *) return 1 ;;
    esac
}

