# Runs test modules of python and prints what came of them, without times.
for module; do
    python3 -m test -v "$module" > log 2>&1
    status=$?
    echo "$module: status $status"
    grep -E '^(FAIL|ERROR): |^Ran [0-9]+ tests|^(OK|FAILED)( |$)' log | sed 's/ in [0-9.]*s$//'
    grep -E " \.\.\. skipped '" log | sort
    [ $status -eq 0 ] || grep -v -E ' \.\.\. (ok|skipped)' log | tail -n 40
done
