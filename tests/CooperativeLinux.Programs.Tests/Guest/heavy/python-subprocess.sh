. /programs/module.sh test_subprocess
