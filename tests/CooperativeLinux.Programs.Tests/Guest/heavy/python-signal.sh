. /programs/module.sh test_signal
