# Builds with Debian's compiler, which is itself a large program of many threads, and runs the result, which ends with 3.
cp /programs/heavy/program.go . && go build -o program program.go || exit 1
./program
[ $? -eq 3 ] || exit 1
GOMAXPROCS=1 GOGC=5 ./program
[ $? -eq 3 ] || exit 1
