# Arithmetic, expansion, loops, traps, job control and pipes of dash and bash.
i=0 sum=0
while [ $i -lt 20000 ]; do sum=$((sum + i * i % 7)) i=$((i + 1)); done
echo "sum $sum"
fibs() { a=0 b=1 n=0; while [ $n -lt "$1" ]; do set -- "$1" $((a + b)); a=$b b=$2 n=$((n + 1)); done; echo $a; }
fibs 90
for n in 1 2 3; do (exit $n); echo "status $?"; done
v=one.two.three; echo "${v%.*} ${v##*.} ${#v} ${unset:-default}"
echo a b c | while read -r x y; do echo "[$x] [$y]"; done
(trap 'echo got TERM; exit 5' TERM; sh -c 'kill -TERM $PPID'; sleep 1; echo not reached); echo "status $?"
{ sh -c 'kill -SEGV $$'; } 2>/dev/null; echo "status $?"
sh -c 'sleep 30 & kill $!; wait $!; echo "waited $?"'
cat <<END | tr a-z A-Z | sed 's/\(L\)\(I\)/\2\1/g'
here document line
another line $((1 << 40))
END
yes | head -n 100000 | wc -l
bash -c '
declare -A m; for i in {1..2000}; do m[k$i]=$((i * i)); done; t=0; for k in "${!m[@]}"; do ((t += m[$k])); done; echo "map ${#m[@]} $t"
s=; for c in {a..z}; do s=$c$s; done; echo "$s" "${s:3:5}" "${s^^}"
[[ "2024-05-17T10:20:30" =~ ^([0-9]+)-([0-9]+)-([0-9]+)T ]] && echo "${BASH_REMATCH[@]}"
printf "%08.3f|%-10s|%x|%e\n" 3.14159 left 48879 12345.678
diff <(seq 1 5) <(seq 2 6); echo "diff $?"
coproc cat; echo through >&"${COPROC[1]}"; read -r line <&"${COPROC[0]}"; echo "coproc $line"
mapfile -t lines < <(seq 1000 | sort -rn); echo "${#lines[@]} ${lines[0]} ${lines[999]}"
trap "echo usr1" USR1; kill -USR1 $$; echo end'
