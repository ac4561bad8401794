# Builds with Debian's compiler, which is itself a large program of many threads, and runs the result.
cp /programs/heavy/program.go . && go build -o program program.go && ./program
echo "status $?"
GOMAXPROCS=1 GOGC=5 ./program
echo "status $?"
