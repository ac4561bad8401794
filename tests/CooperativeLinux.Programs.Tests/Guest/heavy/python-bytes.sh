. /programs/module.sh test_bytes
