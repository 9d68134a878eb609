// The probe of the sandbox's self-test: prints /proc/self/status, then tries three doors.
// Exit code, one bit per door that was open: 1 core_pattern writable, 2 a user namespace, 4 a raw socket.
// Assembled into `code.rs`; `probe.rs` has the test that keeps both the same.
        .text
        mov     x8, #56                 // openat(AT_FDCWD, status, O_RDONLY)
        mov     x0, #-100
        adr     x1, status
        mov     x2, #0
        svc     #0
        sub     sp, sp, #4096           // read(fd, stack, 4096)
        mov     x1, sp
        mov     x2, #4096
        mov     x8, #63
        svc     #0
        mov     x2, x0                  // write(1, stack, count)
        mov     x0, #1
        mov     x1, sp
        mov     x8, #64
        svc     #0
        mov     x19, #0
        mov     x8, #56                 // openat(AT_FDCWD, core_pattern, O_WRONLY)
        mov     x0, #-100
        adr     x1, pattern
        mov     x2, #1
        svc     #0
        tbnz    x0, #63, 1f
        orr     x19, x19, #1
1:      mov     x8, #97                 // unshare(CLONE_NEWUSER)
        mov     x0, #0x10000000
        svc     #0
        tbnz    x0, #63, 1f
        orr     x19, x19, #2
1:      mov     x8, #198                // socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)
        mov     x0, #2
        mov     x1, #3
        mov     x2, #1
        svc     #0
        tbnz    x0, #63, 1f
        orr     x19, x19, #4
1:      mov     x0, x19                 // exit_group(doors)
        mov     x8, #94
        svc     #0
status: .asciz  "/proc/self/status"
pattern: .asciz "/proc/sys/kernel/core_pattern"
