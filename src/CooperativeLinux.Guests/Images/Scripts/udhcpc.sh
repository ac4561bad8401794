#!/colinux/busybox sh
# Called by udhcpc with what the DHCP server said.
bb=/colinux/busybox
case $1 in
    deconfig)
        $bb ip -4 addr flush dev "$interface"
        ;;
    bound|renew)
        $bb ip -4 addr flush dev "$interface"
        $bb ip addr add "$ip/${mask:-24}" dev "$interface"
        for gateway in $router; do
            $bb ip route add default via "$gateway" dev "$interface" && break
        done
        if [ -n "$dns" ]; then
            {
                [ -n "$domain" ] && echo "search $domain"
                for server in $dns; do echo "nameserver $server"; done
            } > /etc/resolv.conf
        fi
        ;;
esac
