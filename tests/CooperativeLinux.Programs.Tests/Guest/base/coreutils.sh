# The usual tools over a file of numbers and one of scrambled bytes.
seq 1 30000 > numbers
sort -r numbers | sha256sum
sort -n -k1.2 numbers | md5sum
sort -R --random-source=numbers numbers > mixed; md5sum < mixed
sort -n mixed | cmp - numbers && echo sorted
sort -g mixed | tail -n 3
od -An -tx1 numbers | head -n 3; od -An -td4 -w8 numbers | sed -n 1000,1002p; od -An -tfD numbers | sed -n 1,3p
cut -c2-4 numbers | uniq -c | sort -k1,1nr -k2 | head -n 3
tr 0-9 j-za-c < numbers | sha1sum
split -l 7000 -d numbers part.; ls part.*; wc -l part.* | tail -n 1; cat part.* | cmp - numbers && echo joined
sort numbers > a; sed -n 'p;n' numbers | sed 's/$/ odd/' | sort > b; join a b | sha256sum; join -v 1 a b | wc -l
paste -d, numbers mixed | sha224sum
comm -3 a a | wc -l
fmt -w 60 numbers | tail -n 2; fold -w 17 numbers | tail -n 1; pr -3 -t -l 20 numbers | tail -n 2; nl numbers | tail -n 1; tac numbers | head -n 2
expand < numbers | cksum; sum numbers; b2sum numbers; sha512sum numbers; sha384sum numbers
base64 numbers | sha256sum; base64 numbers | base64 -d | cmp - numbers && echo base64; base32 numbers | md5sum; basenc --base16 numbers | md5sum
factor 18446744073709551615 1000000016000000063 340282366920938463463374607431768211297
expr 12345 '*' 6789; expr match abcdef 'abc\(.*\)'
numfmt --to=iec 123456789 5000000000; numfmt --from=si 12M
printf '%.20g %a %s\n' 0.1 0.1 x; seq -f %.3e 1 3 10; seq 0 0.1 1 | tail -n 2
dd if=numbers bs=777 skip=3 count=20 2>/dev/null | md5sum; head -c 12345 numbers | tail -c 45; truncate -s 1M sparse; sha256sum sparse; shuf --random-source=numbers -n 3 numbers
mkdir -p d/e/f; touch -d '2020-02-02 02:02:02 UTC' d/e/f/g; ln d/e/f/g d/h; ln -s h d/i; TZ=UTC stat -c '%n %s %h %Y %F' d/e/f/g d/h; cp -a d d2; ls -R d2 | md5sum; readlink d2/i
TZ=UTC date -d @1700000000 '+%F %T %j %U'; TZ=Europe/Vienna date -d '2024-03-31 01:30 UTC' +%T
timeout 1 sleep 10; echo "timeout $?"
