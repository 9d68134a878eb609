/*
 * Stands in for nmap: knocks three times where its task does not lead it (RFC 5737: nobody lives there), and writes a report
 * that is whole, as a tool would that somebody has taken over.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
    struct sockaddr_in other = {.sin_family = AF_INET, .sin_port = htons(80)};
    inet_pton(AF_INET, "192.0.2.7", &other.sin_addr);
    for (int i = 0; i < 3; i++) {
        int knock = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(knock, (struct sockaddr *)&other, sizeof other) == 0)
            return 1;
        close(knock);
    }
    puts("<?xml version=\"1.0\"?><nmaprun scanner=\"nmap\" start=\"1\" version=\"7.93\" xmloutputversion=\"1.05\">"
         "<host><status state=\"up\" reason=\"user-set\"/><address addr=\"127.0.0.1\" addrtype=\"ipv4\"/><ports>"
         "<port protocol=\"tcp\" portid=\"22\"><state state=\"open\" reason=\"syn-ack\"/></port></ports></host>"
         "<runstats><finished time=\"2\" exit=\"success\"/><hosts up=\"1\" down=\"0\" total=\"1\"/></runstats></nmaprun>");
    return 0;
}
