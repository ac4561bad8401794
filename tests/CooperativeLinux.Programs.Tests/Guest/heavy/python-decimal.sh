. /programs/module.sh test_decimal
