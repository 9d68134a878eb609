//! Rules of hosts, ports and services that speak neither TLS nor HTTP.

use super::rules;

rules! {
    PORT_OPEN = "port.open", Info, "Open port",
        "A service accepts connections on this port.",
        "";
    HOST_OS = "host.operating_system", Info, "Operating system",
        "A guess from the way the host answers packets; never proof enough to derive weaknesses from.",
        "";
    FTP_ANONYMOUS = "ftp.anonymous_login", Medium, "The FTP server lets everybody in",
        "Anonymous login is allowed, so everybody can read what is shared there.",
        "Switch anonymous login off unless the files are meant for everybody.";
    FTP_ANONYMOUS_WRITE = "ftp.anonymous_write", High, "The FTP server lets everybody write",
        "Anonymous login is allowed and at least one folder looks writable.",
        "Switch anonymous login off, or make everything read-only for it.";
    SSH_WEAK_HOST_KEY = "ssh.weak_host_key", Medium, "The SSH server has a weak host key",
        "DSA keys and RSA keys below 2048 bits can be broken with means that exist; then the server can be impersonated.",
        "Make new host keys (Ed25519 or RSA with 3072 bits) and remove the weak one.";
    SSH_PROTOCOL_1 = "ssh.protocol_1", High, "The SSH server speaks protocol 1",
        "Version 1 of the protocol lets an attacker in the network insert data.",
        "Allow protocol 2 alone.";
    SSH_WEAK_KEX = "ssh.weak_key_exchange", Medium, "The SSH server offers a weak key exchange",
        "The method depends on a small group or on SHA-1.",
        "Remove the method from KexAlgorithms.";
    SSH_WEAK_CIPHER = "ssh.weak_cipher", Medium, "The SSH server offers a weak cipher",
        "The cipher is broken, or its small blocks give away data of long connections.",
        "Remove the cipher from Ciphers.";
    SSH_WEAK_MAC = "ssh.weak_mac", Low, "The SSH server offers a weak message authentication code",
        "The code depends on MD5 or is cut to 96 bits.",
        "Remove the code from MACs.";
    SMB_SIGNING_DISABLED = "smb.signing_disabled", Medium, "SMB messages are not signed",
        "Without signatures an attacker in the network can relay a login and act under its name.",
        "Require message signing.";
    SMB_SIGNING_OPTIONAL = "smb.signing_not_required", Low, "SMB message signing is not required",
        "Signing is possible but not required, so an attacker in the network can talk client and server out of it.",
        "Require message signing.";
    SMB_GUEST = "smb.guest_access", Low, "The SMB server lets guests in",
        "The guest account needs no password and may see shares, users and settings.",
        "Disable the guest account.";
    SMB_PROTOCOL_1 = "smb.protocol_1", High, "The SMB server speaks version 1",
        "SMB 1 has no protection against manipulation and a history of weaknesses that spread by themselves.",
        "Remove SMB 1.";
    MYSQL_EMPTY_PASSWORD = "mysql.empty_password", Critical, "A MySQL account has no password",
        "Everybody who reaches the port can log in.",
        "Give every account a password or remove it.";
    REDIS_OPEN = "redis.no_authentication", High, "Redis answers without a password",
        "Everybody who reaches the port can read and change all data, and often run programs on the host.",
        "Require a password or ACL, and let only the application reach the port.";
    MONGODB_OPEN = "mongodb.no_authentication", High, "MongoDB lists its databases without a login",
        "Everybody who reaches the port can read the data, and often change it.",
        "Switch authorization on, and let only the application reach the port.";
    MEMCACHED_OPEN = "memcached.no_authentication", Medium, "Memcached answers without a login",
        "Everybody who reaches the port can read and change what is cached; over UDP it amplifies attacks on others.",
        "Let only the application reach the port and switch UDP off.";
    VNC_OPEN = "vnc.no_authentication", High, "The VNC server asks for no password",
        "Everybody who reaches the port sees the screen and uses keyboard and mouse.",
        "Require a password and let the connection go through a tunnel.";
    X11_OPEN = "x11.open_access", High, "The X server lets everybody in",
        "Everybody who reaches the port sees the screen and every key that is pressed.",
        "Switch access control on and do not listen on the network.";
    DNS_OPEN_RECURSION = "dns.open_recursion", Medium, "The DNS server resolves names for everybody",
        "Open resolvers amplify attacks on others and can be fed with false answers.",
        "Allow recursion for your own clients alone.";
    SNMP_DEFAULT_COMMUNITY = "snmp.default_community", Medium, "The SNMP agent accepts a default community",
        "Everybody can read the configuration of the device: interfaces, processes, software.",
        "Change the community or use SNMPv3 with a login.";
    NFS_EXPORTS = "nfs.exports_listed", Info, "The NFS server lists its exports",
        "The list names folders and who may mount them.",
        "";
    RSYNC_MODULES = "rsync.modules_listed", Info, "The rsync server lists its modules",
        "The list names folders that may be readable for everybody.",
        "";
}
