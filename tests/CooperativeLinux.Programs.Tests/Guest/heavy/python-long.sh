. /programs/module.sh test_long
