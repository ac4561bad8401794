# Digests, ciphers, signatures and key exchange; what openssl picks by the processor's features differs from machine to machine, the results must not.
seq 1 50000 > data
for d in md5 sha1 sha224 sha256 sha384 sha512 sha512-256 sha3-256 sha3-512 shake128 blake2b512 blake2s256 sm3 ripemd160; do openssl dgst -$d data; done 2>&1
openssl dgst -sha256 -hmac secret data
openssl mac -macopt cipher:aes-128-cbc -macopt hexkey:00112233445566778899aabbccddeeff -in data CMAC
for c in aes-128-cbc aes-192-ctr aes-256-cbc aes-256-ctr aes-128-cfb aes-256-ofb aes-128-ecb chacha20 camellia-256-cbc aria-128-ctr des-ede3-cbc sm4-cbc; do
    openssl enc -$c -pbkdf2 -iter 1000 -S 0102030405060708 -pass pass:word -in data -out $c.enc; sha256sum < $c.enc
    openssl enc -d -$c -pbkdf2 -iter 1000 -S 0102030405060708 -pass pass:word -in $c.enc 2>&1 | cmp - data && echo "$c same"
done
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem 2>/dev/null; openssl pkey -in rsa.pem -pubout -out rsa.pub
openssl dgst -sha256 -sign rsa.pem -out sig data; openssl dgst -sha256 -verify rsa.pub -signature sig data
openssl dgst -sha256 -sign rsa.pem -sigopt rsa_padding_mode:pss -out sig data; openssl dgst -sha256 -verify rsa.pub -sigopt rsa_padding_mode:pss -signature sig data
echo x >> data; openssl dgst -sha256 -verify rsa.pub -sigopt rsa_padding_mode:pss -signature sig data 2>/dev/null
for curve in P-256 P-384 P-521 secp256k1 brainpoolP256r1; do
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:$curve -out ec.pem && openssl pkey -in ec.pem -pubout -out ec.pub
    openssl dgst -sha512 -sign ec.pem -out sig data; openssl dgst -sha512 -verify ec.pub -signature sig data
done
for e in ED25519 ED448; do openssl genpkey -algorithm $e -out ed.pem; openssl pkey -in ed.pem -pubout -out ed.pub; openssl pkeyutl -sign -rawin -inkey ed.pem -in /etc/passwd -out sig; openssl pkeyutl -verify -rawin -pubin -inkey ed.pub -in /etc/passwd -sigfile sig; done
for x in X25519 X448; do openssl genpkey -algorithm $x -out x1.pem; openssl genpkey -algorithm $x -out x2.pem; openssl pkey -in x1.pem -pubout -out x1.pub; openssl pkey -in x2.pem -pubout -out x2.pub
    openssl pkeyutl -derive -inkey x1.pem -peerkey x2.pub -out s1; openssl pkeyutl -derive -inkey x2.pem -peerkey x1.pub -out s2; cmp s1 s2 && echo "$x same"; done
openssl prime 170141183460469231731687303715884105727 170141183460469231731687303715884105729
openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -subj /CN=test -days 9 -out c.pem 2>/dev/null; openssl verify -CAfile c.pem c.pem
openssl kdf -keylen 32 -kdfopt pass:p -kdfopt salt:NaCl -kdfopt n:1024 -kdfopt r:8 -kdfopt p:4 SCRYPT
openssl passwd -6 -salt abcdefgh word; openssl passwd -1 -salt abcdefgh word
openssl speed -seconds 1 -evp aes-128-gcm > /dev/null 2>&1; echo "speed $?"
