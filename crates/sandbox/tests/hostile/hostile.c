/*
 * A tool that means harm. `hostile battery KEY=VALUE...` tries every door of probes.def and prints one line for each:
 * name, allowed or denied, and why. The other modes abuse one resource each and say how far they came.
 *
 * cc -static -O1 -o hostile hostile.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEBIBYTE (1L << 20)

static char scratch_memory[8192];
static int argument_count;
static char **arguments;

#include "battery.h"

/* ---------------------------------------------------------------------------------------- modes: one abuse each */

static void ignore_all_signals(void) {
    for (int signal_number = 1; signal_number < 65; signal_number++)
        signal(signal_number, SIG_IGN);
}

static void for_ever(void) {
    for (;;)
        pause();
}

static int flood(int descriptor) {
    static char block[65536];
    memset(block, 'A', sizeof block);
    while (write(descriptor, block, sizeof block) > 0)
        ;
    return 1;
}

static int flood_output(void) { return flood(1); }
static int flood_error(void) { return flood(2); }

static int fill(const char *path) {
    static char block[65536];
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    long total = 0;
    signal(SIGXFSZ, SIG_IGN);
    for (ssize_t count; (count = write(file, block, sizeof block)) > 0;)
        total += count;
    printf("%ld\t%s\n", total, strerrorname_np(errno));
    return 0;
}

static int fill_scratch(void) { return fill("/scratch/f"); }
static int fill_tmp(void) { return fill("/tmp/f"); }
static int fill_shm(void) { return fill("/dev/shm/f"); }

/* Several files: no single one reaches the limit of a file's size. */
static int fill_many(void) {
    static char block[65536];
    long total = 0;
    for (int i = 0; i < 1000; i++) {
        char path[64];
        snprintf(path, sizeof path, "/scratch/%d", i);
        int file = open(path, O_CREAT | O_WRONLY, 0600);
        for (int part = 0; part < 16; part++) {
            ssize_t count = write(file, block, sizeof block);
            if (count <= 0) {
                printf("%ld\t%s\n", total, strerrorname_np(errno));
                return 0;
            }
            total += count;
        }
        close(file);
    }
    return 1;
}

static int fill_inodes(void) {
    for (long count = 0; count < 5000000; count++) {
        char path[64];
        snprintf(path, sizeof path, "/scratch/%ld", count);
        int file = open(path, O_CREAT | O_WRONLY, 0600);
        if (file < 0) {
            printf("%ld\t%s\n", count, strerrorname_np(errno));
            return 0;
        }
        close(file);
    }
    return 1;
}

static int sparse_file(void) {
    signal(SIGXFSZ, SIG_IGN);
    int file = open("/scratch/sparse", O_CREAT | O_WRONLY, 0600);
    int result = ftruncate(file, 1L << 40);
    printf("%d\t%s\n", result, strerrorname_np(errno));
    return 0;
}

static int hog_memory(void) {
    for (long total = 0; total < 65536; total += 16) {
        char *block = mmap(0, 16 * MEBIBYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED) {
            printf("%ld\t%s\n", total, strerrorname_np(errno));
            return 0;
        }
        memset(block, 1, 16 * MEBIBYTE);
    }
    return 1;
}

/* Eight processes of 48 MiB each: none of them is large. */
static int hog_memory_together(void) {
    for (int i = 0; i < 8; i++)
        if (fork() == 0) {
            char *block = mmap(0, 48 * MEBIBYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (block == MAP_FAILED)
                return 1;
            memset(block, 1, 48 * MEBIBYTE);
            for_ever();
        }
    for_ever();
    return 1;
}

static int fork_bomb(void) {
    for (long count = 0; count < 4000; count++) {
        pid_t pid = fork();
        if (pid < 0) {
            printf("%ld\t%s\n", count, strerrorname_np(errno));
            fflush(stdout);
            for_ever();
        }
        if (pid == 0) {
            setsid();
            ignore_all_signals();
            for_ever();
        }
    }
    return 1;
}

/* Five processes that left their session and parents and ignore everything; this one stays. */
static int daemonize(void) {
    for (int i = 0; i < 5; i++)
        if (fork() == 0) {
            setsid();
            if (fork() == 0) {
                ignore_all_signals();
                for_ever();
            }
            _exit(0);
        }
    /* Those in between have gone: all five exist. */
    while (wait(0) > 0)
        ;
    ignore_all_signals();
    puts("ready");
    fflush(stdout);
    for_ever();
    return 0;
}

/* Leaves with success; what it leaves behind keeps standard output open. */
static int leave_children(void) {
    for (int i = 0; i < 3; i++)
        if (fork() == 0) {
            setsid();
            ignore_all_signals();
            for_ever();
        }
    puts("gone");
    return 0;
}

static int spin(void) {
    for (volatile long i = 0;; i++)
        ;
    return 0;
}

static int stop_itself(void) {
    puts("ready");
    fflush(stdout);
    kill(getpid(), SIGSTOP);
    return 0;
}

static int hold(void) {
    puts("ready");
    fflush(stdout);
    for_ever();
    return 0;
}

/* Without a word, so that nobody's end is noticed by writing. */
static int wait_in_silence(void) {
    for_ever();
    return 0;
}

static int be_killed(void) { return kill(getpid(), SIGSEGV); }

static int identity(void) { return !(getuid() == 65534 && geteuid() == 65534 && getegid() == 65534); }

/* Prints the files that are named. */
static int show(void) {
    for (int i = 2; i < argument_count; i++) {
        int file = open(arguments[i], O_RDONLY);
        for (ssize_t count; (count = read(file, scratch_memory, sizeof scratch_memory)) > 0;)
            if (write(1, scratch_memory, count) != count)
                return 1;
    }
    return 0;
}

/* Tries to write to the files that are named. */
static int try_to_write(void) {
    for (int i = 2; i < argument_count; i++) {
        int file = open(arguments[i], O_CREAT | O_WRONLY, 0600);
        printf("%s\t%s\n", arguments[i], file < 0 ? strerrorname_np(errno) : "open");
    }
    return 0;
}

/* Listens on every address of the network, says which they are, and stays. */
static int listen_everywhere(void) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[2]))};
    struct ifaddrs *list = 0;
    int file = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(file, (struct sockaddr *)&any, sizeof any) || listen(file, 16) || getifaddrs(&list))
        return 1;
    for (; list; list = list->ifa_next)
        if (list->ifa_addr && list->ifa_addr->sa_family == AF_INET)
            printf("%s ", inet_ntoa(((struct sockaddr_in *)list->ifa_addr)->sin_addr));
    puts("");
    fflush(stdout);
    for_ever();
    return 0;
}

/* Tries to reach the places that are named as KIND:ADDRESS:PORT, and says of each what became of it. */
static const char *reach_one(const char *text) {
    char place[128], *port;
    int is_tcp = !strncmp(text, "tcp:", 4), error = 0;
    socklen_t size = sizeof error;
    snprintf(place, sizeof place, "%s", text + 4);
    port = strrchr(place, ':');
    *port++ = 0;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(atoi(port))};
    int is_v6 = inet_pton(AF_INET, place, &v4.sin_addr) != 1;
    if (is_v6 && inet_pton(AF_INET6, place, &v6.sin6_addr) != 1)
        return "not an address";
    int file = socket(is_v6 ? AF_INET6 : AF_INET, (is_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0);
    const void *address = is_v6 ? (void *)&v6 : (void *)&v4;
    if (connect(file, address, is_v6 ? sizeof v6 : sizeof v4) && errno != EINPROGRESS)
        return strerrorname_np(errno);
    if (!is_tcp && send(file, "question", 8, 0) < 0)
        return strerrorname_np(errno);
    struct pollfd wanted = {.fd = file, .events = is_tcp ? POLLOUT : POLLIN};
    if (poll(&wanted, 1, 300) == 0)
        return "silent";
    if (getsockopt(file, SOL_SOCKET, SO_ERROR, &error, &size) || error)
        return strerrorname_np(error);
    return is_tcp ? "connected" : "answered";
}

static int reach(void) {
    for (int i = 2; i < argument_count; i++)
        printf("%s\t%s\n", arguments[i], reach_one(arguments[i]));
    return 0;
}

/* The address of a socket of this machine: path:PATH, or an abstract name behind stream: or datagram:. */
static socklen_t address_of(struct sockaddr_un *address, const char *place) {
    const char *name = strchr(place, ':') + 1;
    int is_abstract = strncmp(place, "path:", 5) != 0;
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path + is_abstract, sizeof address->sun_path - is_abstract, "%s", name);
    return is_abstract ? offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name) : sizeof *address;
}

static int socket_of(const char *place) {
    return socket(AF_UNIX, strncmp(place, "datagram:", 9) ? SOCK_STREAM : SOCK_DGRAM, 0);
}

/* Tries to reach one: a socket, or as process:NUMBER a process in three ways. */
static const char *visit_one(const char *place) {
    struct sockaddr_un address;
    if (!strncmp(place, "process:", 8)) {
        char path[64];
        int number = atoi(place + 8);
        snprintf(path, sizeof path, "/proc/%d/status", number);
        if (kill(number, 0) == 0 || errno == EPERM || open(path, O_RDONLY) >= 0)
            return "reached";
        snprintf(path, sizeof path, "/proc/%d/root", number);
        return readlink(path, scratch_memory, sizeof scratch_memory) < 0 ? strerrorname_np(errno) : "reached";
    }
    socklen_t length = address_of(&address, place);
    return connect(socket_of(place), (struct sockaddr *)&address, length) ? strerrorname_np(errno) : "reached";
}

static int visit(void) {
    for (int i = 2; i < argument_count; i++)
        printf("%s\t%s\n", arguments[i], visit_one(arguments[i]));
    return 0;
}

/* Offers the sockets that are named, reaches them by itself, and stays. */
static int offer(void) {
    for (int i = 2; i < argument_count; i++) {
        struct sockaddr_un address;
        socklen_t length = address_of(&address, arguments[i]);
        int file = socket_of(arguments[i]);
        if (bind(file, (struct sockaddr *)&address, length) || (strncmp(arguments[i], "datagram:", 9) && listen(file, 8)))
            return 1;
        if (strcmp(visit_one(arguments[i]), "reached"))
            return 2;
    }
    return hold();
}

/* Prints the command line of every process that it sees. */
static int list_processes(void) {
    DIR *processes = opendir("/proc");
    for (struct dirent *entry; processes && (entry = readdir(processes));) {
        char path[300];
        if (atoi(entry->d_name) == 0)
            continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        int file = open(path, O_RDONLY);
        ssize_t count = file < 0 ? 0 : read(file, scratch_memory, sizeof scratch_memory - 1);
        for (ssize_t i = 0; i < count; i++)
            scratch_memory[i] = scratch_memory[i] ? scratch_memory[i] : ' ';
        printf("%s\t%.*s\n", entry->d_name, count < 0 ? 0 : (int)count, scratch_memory);
        close(file);
    }
    return 0;
}

/* Opens one file again and again until it is refused. */
static int open_many(void) {
    long count = 0;
    while (open("/usr/bin/hostile", O_RDONLY) >= 0 && count < 1000000)
        count++;
    printf("%ld\t%s\n", count, strerrorname_np(errno));
    return 0;
}

/* Prints its arguments, each with a line feed. */
static int echo(void) {
    for (int i = 2; i < argument_count; i++)
        puts(arguments[i]);
    return 0;
}

/* Counts what is in the writable folders, then leaves something there. */
static int leave_traces(void) {
    const char *folders[] = {"/scratch", "/tmp", "/dev/shm"};
    int found = 0;
    for (int i = 0; i < 3; i++) {
        DIR *folder = opendir(folders[i]);
        for (struct dirent *entry; folder && (entry = readdir(folder));)
            found += entry->d_name[0] != '.';
    }
    close(open("/scratch/trace", O_CREAT | O_WRONLY, 0600));
    printf("%d\n", found);
    return 0;
}

static int leave_and_hold(void) {
    close(open("/scratch/trace", O_CREAT | O_WRONLY, 0600));
    return hold();
}

/* Sequences that a terminal would obey, to both streams. */
static int talk_to_terminal(void) {
    static const char sequence[] = "\033]0;owned\007\033[2J\r\033P0;1|17/ab\033\\";
    return write(1, sequence, sizeof sequence - 1) < 0 || write(2, sequence, sizeof sequence - 1) < 0;
}

/* What lies at the report's path: the first argument says what. All are noisy, and leave with 3. */
static int leave_report(void) {
    const char *kind = argument_count > 2 ? arguments[2] : "none", *path = "/scratch/report";
    int file = -1;
    printf("noise\n");
    if (!strcmp(kind, "file") || !strcmp(kind, "long") || !strcmp(kind, "killed"))
        file = open(path, O_CREAT | O_WRONLY, 0600);
    if (file >= 0 && write(file, "the report\n", 11) != 11)
        return 1;
    if (!strcmp(kind, "long"))
        for (int i = 0; i < 64; i++)
            if (write(file, scratch_memory, sizeof scratch_memory) < 0)
                return 1;
    if (!strcmp(kind, "link") && symlink("/etc/passwd", path))
        return 1;
    if (!strcmp(kind, "fifo") && mkfifo(path, 0600))
        return 1;
    if (!strcmp(kind, "folder") && mkdir(path, 0700))
        return 1;
    if (!strcmp(kind, "two-names")) {
        close(open("/scratch/other", O_CREAT | O_WRONLY, 0600));
        if (link("/scratch/other", path))
            return 1;
    }
    if (!strcmp(kind, "socket")) {
        struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/scratch/report"};
        if (bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address))
            return 1;
    }
    if (!strcmp(kind, "killed"))
        kill(getpid(), SIGKILL);
    /* Somebody goes on writing; the report must not change under the reader. */
    if (!strcmp(kind, "file") && fork() == 0) {
        setsid();
        ignore_all_signals();
        for (;;)
            if (write(file, "x", 1) < 0)
                return 1;
    }
    return 3;
}

static const struct mode {
    const char *name;
    int (*act)(void);
} modes[] = {
    {"battery", battery},         {"flood-output", flood_output}, {"flood-error", flood_error},
    {"fill", fill_scratch},       {"fill-tmp", fill_tmp},         {"fill-shm", fill_shm},
    {"fill-many", fill_many},     {"fill-inodes", fill_inodes},   {"sparse", sparse_file},
    {"memory", hog_memory},       {"memory-of-many", hog_memory_together},
    {"forks", fork_bomb},           {"daemon", daemonize},
    {"leave-children", leave_children}, {"spin", spin},           {"stop", stop_itself},
    {"hold", hold},               {"wait", wait_in_silence},                    {"be-killed", be_killed},       {"identity", identity},
    {"show", show},               {"echo", echo}, {"open-many", open_many},                 {"leave-traces", leave_traces},
    {"leave-and-hold", leave_and_hold}, {"terminal", talk_to_terminal},
    {"report", leave_report},         {"write", try_to_write},
    {"reach", reach},           {"listen", listen_everywhere},
    {"visit", visit},           {"offer", offer},               {"processes", list_processes},
};

int main(int count, char **values) {
    argument_count = count;
    arguments = values;
    /* Whole lines, so that no buffered one is printed twice by a copy of this process. */
    setvbuf(stdout, 0, _IOLBF, 0);
    for (size_t i = 0; count > 1 && i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(values[1], modes[i].name))
            return modes[i].act();
    fprintf(stderr, "expected the name of a mode\n");
    return 2;
}
