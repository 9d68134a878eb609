# shellcheck shell=bash disable=SC2034 # read by root.sh and by deploy/dev
# The scanner tools whose roots can be built; one line adds one. Columns, separated by `|`:
#   name      of the tool, of its folder below $PICKET_TOOLS_ROOT and of its main program
#   packages  Debian packages; all they need comes with them. A tool of PyPI has python3 here, and its own packages in
#             python/<tool>.txt
#   programs  what stays in /usr/bin (`*`: everything; else no shell and no interpreter remains)
#   proof     command line run inside the sandbox when the root is built; @PORT@ is a loopback HTTP server
#   expected  what its output must match (extended regular expression)
# nikto is in Debian's non-free part, which is read with PICKET_NONFREE=1 alone. nuclei and ZAP are in no part of it: whoever
# wants them puts a root of them below $PICKET_TOOLS_ROOT (docs/scanning/roots.md).
DEFAULT_TOOLS="nmap"
TOOL_TABLE='
nmap       | nmap                                              | nmap    | nmap --unprivileged -sT -Pn -n -p @PORT@ --script +http-title -oX - 127.0.0.1 | output="picket proof"
ssh-audit  | python3                                           | ssh-audit python3 | ssh-audit -n -t 5 -p @PORT@ 127.0.0.1                               | banner
sslscan    | sslscan                                           | sslscan | sslscan --no-colour 127.0.0.1:@PORT@                                           | OpenSSL
sslyze     | python3                                           | sslyze python3 | sslyze --json_out=- --mozilla_config=disable --certinfo 127.0.0.1:@PORT@  | "connectivity_status": "ERROR"
testssl    | testssl.sh bash coreutils grep hostname mawk procps sed util-linux | *  | testssl --version                                             | testssl
whatweb    | whatweb ruby coreutils                            | whatweb env ruby | whatweb --color=never http://127.0.0.1:@PORT@/                        | Title\[picket proof\]
wapiti     | wapiti python3                                    | wapiti python3 | wapiti --version                                                        | [0-9]+[.][0-9]+
ffuf       | ffuf                                              | ffuf    | ffuf -V                                                                        | ffuf version
nikto      | nikto perl                                        | nikto perl | nikto -nointeractive -nolookup -Tuning x0123456789acde -host 127.0.0.1 -port @PORT@ | host[(]s[)] tested
wafw00f    | wafw00f python3                                   | wafw00f python3 | wafw00f -a http://127.0.0.1:@PORT@/                                    | Number of requests
'
