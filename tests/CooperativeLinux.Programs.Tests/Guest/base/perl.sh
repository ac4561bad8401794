# Regular expressions, formatting, packing, sorting, big hashes, big integers and fork in perl.
perl -e '
my %words; my $text = ""; my $x = 12345;
for (1..20000) { $x = ($x * 1103515245 + 12345) % 2147483648; $text .= chr(97 + ($x >> 16) % 26) . ($x % 5 ? "" : " "); }
$words{$_}++ for split / /, $text;
my @top = sort { $words{$b} <=> $words{$a} || $a cmp $b } keys %words; print join(",", map { "$_=$words{$_}" } @top[0..9]), "\n";
print scalar(() = $text =~ /([aeiou])[^aeiou ]+\1/g), " matches\n";
(my $t = $text) =~ s/(\w)(\w)/$2$1/g; print unpack("%32C*", $t), "\n";
printf "%.17g %e %g %s %05d %x %o %b\n", 1/3, 1e100, 1e-5, 1e21, -42, 255, 8, 10;
print unpack("H*", pack("NnCvVQ>dfw/a*", 1, 2, 3, 4, 5, 6, 7.5, -0.25, "text")), "\n";
print join(",", unpack("(A3)*", "abcdefghij")), "\n";
print join(" ", sort { $a <=> $b } map { ($_ * 7919) % 1009 } 1..40), "\n";
print sqrt(2), " ", exp(1), " ", sin(1), " ", atan2(1, -1), " ", 2**0.5, " ", int(-7.5), " ", -7 % 3, " ", 9**20, "\n";
eval { die { code => 7 } }; print "caught $@->{code}\n";
eval { my $z = 0; 1 / $z }; print $@;
local $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; 1 while 1; }; print "signal $@";
my $pid = fork; if (!$pid) { exit 3 } waitpid $pid, 0; print "child ", $? >> 8, "\n";
print "ok\n" if "aaaaaaaaaaaaaaaaaaaaaaaab" =~ /^(a|aa)+b$/;
print join("|", "2024-01-02 x=5, y=66" =~ /(?<y>\d+)-(\d+).*?y=(?<v>\d+)/), " $+{v}\n";
'
perl -Mbigint -e 'print 2**521 - 1, " ", (3**200) % (10**20 + 39), "\n"'
perl -MDigest::SHA=sha256_hex -MList::Util=sum,shuffle -MData::Dumper -e '$Data::Dumper::Sortkeys = 1; print sha256_hex("x" x 1000000), "\n", sum(map { $_ ** 2 } 1..100000), "\n", Dumper({ a => [1, 2, { b => undef }], c => \"s" })'
perl -MEncode -e 'my $s = decode("UTF-8", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac"); print length $s, " ", encode("UTF-8", uc $s), " ", encode("UTF-16BE", $s) eq "\0g\0r\0\xfc\0\xdf\0 \x20\xac" ? "same" : "different", "\n"'
perl -ne '$n{length $_}++; END { print "$_ $n{$_}\n" for sort { $a <=> $b } keys %n }' < /etc/passwd
