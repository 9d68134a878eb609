# shellcheck shell=bash disable=SC2034 # read by root.sh and by deploy/dev
# The scanner tools whose roots can be built; one line adds one. Columns, separated by `|`:
#   name      of the tool, of its folder below $PICKET_TOOLS_ROOT and of its main program
#   packages  Debian packages; all they need comes with them
#   programs  what stays in /usr/bin (`*`: everything; else no shell and no interpreter remains)
#   proof     command line run inside the sandbox when the root is built; @PORT@ is a loopback HTTP server
#   expected  what its output must match (extended regular expression)
DEFAULT_TOOLS="nmap"
TOOL_TABLE='
nmap       | nmap                                              | nmap    | nmap --unprivileged -sT -Pn -n -p @PORT@ --script +http-title -oX - 127.0.0.1 | output="picket proof"
sslscan    | sslscan                                           | sslscan | sslscan --no-colour 127.0.0.1:@PORT@                                           | OpenSSL
testssl.sh | testssl.sh bash coreutils grep hostname mawk procps sed util-linux | *  | testssl --version                                             | testssl
whatweb    | whatweb dash coreutils                            | *       | whatweb --color=never http://127.0.0.1:@PORT@/                                 | Title\[picket proof\]
wapiti     | wapiti dash                                       | *       | wapiti --version                                                               | [0-9]+[.][0-9]+
'
