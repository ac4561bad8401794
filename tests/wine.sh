# For scripts that run the Windows build under Wine; to be read by them, not run. Sets wine, WINEDEBUG and what .NET needs there.
# shellcheck shell=sh

for wine in "$(command -v wine64 || true)" /usr/lib/wine/wine64 "$(command -v wine || true)"; do
    [ -x "$wine" ] && break
done
if [ ! -x "$wine" ]; then
    echo 'Wine is missing. On Debian: apt-get install --no-install-recommends wine64' >&2
    exit 2
fi

# The runtime's default of writing code through a second mapping does not work under Wine (docs/windows.md).
export WINEDEBUG=-all DOTNET_EnableWriteXorExecute=0

# Wine takes names of files in the locale's characters: in others than UTF-8 most names cannot be.
export LC_ALL=C.UTF-8

# For tests of what Wine lets only root do.
COLINUX_TEST_WINE_UID=$(id -u)
export COLINUX_TEST_WINE_UID

# Wine 8 puts libraries and memory below 2 GiB, where Windows has them near the top, and the runtime's compiler then leaves nearly all code
# unoptimised (docs/windows.md). This range Wine leaves free; it is made for programs without relocations.
export WINEPRELOADRESERVE="${WINEPRELOADRESERVE-110000-7fff0000}"

# Makes Wine's folder, WINEPREFIX, and makes it Windows 10; of itself it is Windows 7. Services have the environment of the registry.
prepareWine() {
    if [ ! -e "$WINEPREFIX/system.reg" ]; then
        timeout 300 "$wine" wineboot -i > "$WINEPREFIX.log" 2>&1 || { cat "$WINEPREFIX.log"; exit 1; }
    fi
    setRegistry 'HKCU\Software\Wine' Version win10
    setRegistry 'HKLM\System\CurrentControlSet\Control\Session Manager\Environment' DOTNET_EnableWriteXorExecute 0
}

# setRegistry KEY NAME TEXT
setRegistry() {
    timeout 300 "$wine" reg add "$1" /v "$2" /d "$3" /f > "$WINEPREFIX.log" 2>&1 || { cat "$WINEPREFIX.log"; exit 1; }
}
