/*
 * The battery: what its probes need, their table made from probes.def, and the loop that tries them one by one.
 * Belongs to hostile.c, which includes the system's headers.
 */

/* ------------------------------------------------------------------------------- what the test tells the battery */

/* The value of KEY=VALUE among the arguments; without it the battery is of no use. */
static const char *text(const char *key) {
    size_t length = strlen(key);
    for (int i = 2; i < argument_count; i++)
        if (!strncmp(arguments[i], key, length) && arguments[i][length] == '=')
            return arguments[i] + length + 1;
    fprintf(stderr, "expected an argument %s=...\n", key);
    exit(2);
}

static int number(const char *key) { return atoi(text(key)); }

/* ------------------------------------------------------------------------------------------ what the probes need */

/* A refusal that no call made. */
static long refuse(int error) {
    errno = error;
    return -1;
}

static long nothing(void) { return refuse(ENODATA); }

static long bare_clone(unsigned long flags) {
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return pid;
}

static long clone3_user(void) {
    uint64_t wanted[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
    long pid = syscall(435, wanted, sizeof wanted);
    if (pid == 0)
        _exit(0);
    return pid;
}

/* The 32-bit system call table, which a filter for the 64-bit one would not know: number 20 is getpid there. */
static long old_architecture(void) {
#if defined(__x86_64__)
    long result = 20;
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return result > 0 ? result : refuse(ENOSYS);
#else
    kill(getpid(), SIGSYS);
    return 0;
#endif
}

/* The battery is process 2, its probe is one more; everything beyond belongs to somebody else. */
static long see_other_processes(void) {
    DIR *processes = opendir("/proc");
    if (!processes)
        return -1;
    for (struct dirent *entry; (entry = readdir(processes));) {
        int pid = atoi(entry->d_name);
        if (pid > 1 && pid != getpid() && pid != getppid())
            return pid;
    }
    return refuse(ESRCH);
}

/* The first process of the sandbox is bwrap's and has the tool's uid: whatever it may do, the tool may as well. */
static long init_is_stronger(void) {
    static const char *const weak[] = {"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000",
                                       "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000",
                                       "NoNewPrivs:\t1", "Seccomp:\t2"};
    int file = open("/proc/1/status", O_RDONLY);
    if (file < 0 || read(file, scratch_memory, sizeof scratch_memory - 1) <= 0)
        return -1;
    for (size_t i = 0; i < sizeof weak / sizeof *weak; i++)
        if (!strstr(scratch_memory, weak[i]))
            return 0;
    return refuse(EPERM);
}

static long write_file(const char *path, const char *content) {
    int file = open(path, O_WRONLY);
    return file < 0 ? -1 : write(file, content, strlen(content));
}

static long read_something(const char *path) {
    int file = open(path, O_RDONLY);
    if (file < 0)
        return -1;
    return read(file, scratch_memory, sizeof scratch_memory) > 0 ? 0 : nothing();
}

static long open_below(const char *folder, const char *path) {
    char joined[4096];
    snprintf(joined, sizeof joined, "%s%s", folder, path);
    return open(joined, O_RDONLY);
}

static long raise_limit(int resource) {
    struct rlimit limit;
    if (getrlimit(resource, &limit))
        return -1;
    if (limit.rlim_max == RLIM_INFINITY)
        return 0;
    limit.rlim_cur = limit.rlim_max += 1;
    return setrlimit(resource, &limit);
}

static long capset_all(void) {
    struct { uint32_t version; int pid; } header = {0x20080522, 0};
    struct { uint32_t effective, permitted, inheritable; } data[2] = {{~0U, ~0U, 0}, {0x1ff, 0x1ff, 0}};
    return syscall(SYS_capset, &header, data);
}

static long chmod_setuid(void) {
    int file = open("/scratch/setuid", O_CREAT | O_WRONLY, 0700);
    return file < 0 ? -1 : chmod("/scratch/setuid", 04755);
}

/* The exit code of a program; 127 when it cannot be run, then errno is what execve said. */
static long run(const char *path, const char *mode) {
    int report[2];
    if (pipe2(report, O_CLOEXEC))
        return -1;
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid == 0) {
        execl(path, path, mode, (char *)0);
        int error = errno;
        if (write(report[1], &error, sizeof error) < 0)
            _exit(126);
        _exit(127);
    }
    close(report[1]);
    int status, error = 0;
    waitpid(pid, &status, 0);
    if (read(report[0], &error, sizeof error) == sizeof error)
        return refuse(error);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Mode `identity` exits with 0 when it runs as it was started, whatever its file says. */
static long become_by(const char *path) {
    long result = run(path, "identity");
    return result == 0 ? refuse(EPERM) : result;
}

static long copy_self(const char *path) {
    int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0700);
    if (from < 0 || to < 0)
        return -1;
    for (ssize_t count; (count = read(from, scratch_memory, sizeof scratch_memory)) > 0;)
        if (write(to, scratch_memory, count) != count)
            return -1;
    return close(to);
}

static long run_copy(const char *path) {
    if (copy_self(path))
        return -1;
    long result = run(path, "identity");
    int error = errno;
    unlink(path);
    return result < 0 ? refuse(error) : result;
}

static long map_program(void) {
    if (copy_self("/scratch/library"))
        return -1;
    int file = open("/scratch/library", O_RDONLY);
    void *mapped = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
    int error = errno;
    unlink("/scratch/library");
    return mapped == MAP_FAILED ? refuse(error) : 0;
}

/* The mounts in the command line of bwrap's own process would name folders of the host. */
static long host_paths_in_init(void) {
    int file = open("/proc/1/cmdline", O_RDONLY);
    ssize_t count = file < 0 ? -1 : read(file, scratch_memory, sizeof scratch_memory);
    if (count <= 0)
        return -1;
    return memmem(scratch_memory, count, "--ro-bind", 9) ? 0 : nothing();
}

static int report_descriptor;

static long inherited_descriptor(void) {
    for (int descriptor = 3; descriptor < 4096; descriptor++)
        if (descriptor != report_descriptor && fcntl(descriptor, F_GETFD) >= 0)
            return descriptor;
    return refuse(EBADF);
}

/* The test starts the worker with this word in its environment. */
static long inherited_environment(const char *path) {
    int file = open(path, O_RDONLY);
    if (file < 0)
        return -1;
    ssize_t count = read(file, scratch_memory, sizeof scratch_memory);
    if (count > 0 && memmem(scratch_memory, count, "canary", 6))
        return 0;
    /* Its own, by name: PATH, HOME, LANG, and PWD, which bwrap sets for --chdir. */
    for (ssize_t at = 0; at < count; at += strlen(scratch_memory + at) + 1)
        if (strncmp(scratch_memory + at, "PATH=", 5) && strncmp(scratch_memory + at, "HOME=", 5) &&
            strncmp(scratch_memory + at, "LANG=", 5) && strncmp(scratch_memory + at, "PWD=", 4))
            return at;
    return nothing();
}

/* Even a terminal that is its own must not be talked to like this. */
static long terminal_inject_own(void) {
    int controller = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    int lock = 0;
    if (controller < 0 || ioctl(controller, TIOCSPTLCK, &lock))
        return -1;
    int terminal = ioctl(controller, TIOCGPTPEER, O_RDWR);
    return terminal < 0 ? -1 : ioctl(terminal, TIOCSTI, "x");
}

static socklen_t abstract_address(struct sockaddr_un *address, const char *key) {
    const char *name = text(key);
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    strncpy(address->sun_path + 1, name, sizeof address->sun_path - 2);
    return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
}

static long connect_abstract(void) {
    struct sockaddr_un address;
    socklen_t length = abstract_address(&address, "abstract");
    return connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, length);
}

static long send_abstract(void) {
    struct sockaddr_un address;
    socklen_t length = abstract_address(&address, "abstract_datagram");
    return sendto(socket(AF_UNIX, SOCK_DGRAM, 0), "x", 1, 0, (struct sockaddr *)&address, length);
}

static long connect_tcp(const char *ip, int port) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (strchr(ip, ':')) {
        inet_pton(AF_INET6, ip, &six.sin6_addr);
        return connect(socket(AF_INET6, SOCK_STREAM, 0), (struct sockaddr *)&six, sizeof six);
    }
    inet_pton(AF_INET, ip, &four.sin_addr);
    return connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&four, sizeof four);
}

static long send_udp(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    return sendto(socket(AF_INET, SOCK_DGRAM, 0), "x", 1, 0, (struct sockaddr *)&address, sizeof address);
}

static long listen_tcp(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int server = socket(AF_INET, SOCK_STREAM, 0);
    return bind(server, (struct sockaddr *)&address, sizeof address) ? -1 : listen(server, 1);
}

/* -------------------------------------------------------------------------------------------------- the battery */

#define PROBE(name, expression) \
    static long probe_##name(void) { return (long)(expression); }
#include "probes.def"
#undef PROBE

static const struct probe {
    const char *name;
    long (*attempt)(void);
} probes[] = {
#define PROBE(name, expression) {#name, probe_##name},
#include "probes.def"
#undef PROBE
};

struct verdict {
    long result;
    int error;
};

/* A probe may change or end its process: each has one of its own. */
static void try_door(const struct probe *probe) {
    int report[2];
    if (pipe(report))
        exit(3);
    pid_t pid = fork();
    if (pid < 0)
        exit(4);
    if (pid == 0) {
        close(report[0]);
        report_descriptor = report[1];
        errno = 0;
        struct verdict verdict = {.result = probe->attempt()};
        verdict.error = errno;
        _exit(write(report[1], &verdict, sizeof verdict) != sizeof verdict);
    }
    close(report[1]);
    int status;
    struct verdict verdict;
    ssize_t count = read(report[0], &verdict, sizeof verdict);
    close(report[0]);
    waitpid(pid, &status, 0);
    if (count != sizeof verdict && WIFEXITED(status))
        exit(WEXITSTATUS(status));
    if (count != sizeof verdict)
        printf("%s\tdenied\tSIG%s\n", probe->name, sigabbrev_np(WTERMSIG(status)));
    else if (verdict.result < 0)
        printf("%s\tdenied\t%s\n", probe->name, strerrorname_np(verdict.error));
    else
        printf("%s\tallowed\t-\n", probe->name);
}

static int battery(void) {
    for (size_t i = 0; i < sizeof probes / sizeof *probes; i++)
        try_door(&probes[i]);
    return 0;
}
