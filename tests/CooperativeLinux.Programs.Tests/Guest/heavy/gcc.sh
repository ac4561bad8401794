# Compiles with and without optimisation; the compiler must make the same code everywhere.
for o in -O0 -O2 "-O3 -march=haswell"; do
    gcc $o -Wno-all -w -S -o system.s /programs/heavy/system.c && sha256sum < system.s || exit 1
    gcc $o -w -o system system.s -lm -pthread && ./system || exit 1
done
