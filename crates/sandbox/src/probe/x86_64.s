# The probe of the sandbox's self-test: prints /proc/self/status, then tries three doors.
# Exit code, one bit per door that was open: 1 core_pattern writable, 2 a user namespace, 4 a raw socket.
# Assembled into `code.rs`; `probe.rs` has the test that keeps both the same.
        .intel_syntax noprefix
        .text
        mov     eax, 2                  # open(status, O_RDONLY)
        lea     rdi, [rip + status]
        xor     esi, esi
        syscall
        mov     edi, eax                # read(fd, stack, 4096)
        sub     rsp, 4096
        mov     rsi, rsp
        mov     edx, 4096
        xor     eax, eax
        syscall
        mov     rdx, rax                # write(1, stack, count)
        mov     edi, 1
        mov     eax, 1
        syscall
        xor     ebx, ebx
        mov     eax, 2                  # open(core_pattern, O_WRONLY)
        lea     rdi, [rip + pattern]
        mov     esi, 1
        syscall
        test    rax, rax
        js      1f
        or      ebx, 1
1:      mov     eax, 272                # unshare(CLONE_NEWUSER)
        mov     edi, 0x10000000
        syscall
        test    rax, rax
        js      1f
        or      ebx, 2
1:      mov     eax, 41                 # socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)
        mov     edi, 2
        mov     esi, 3
        mov     edx, 1
        syscall
        test    rax, rax
        js      1f
        or      ebx, 4
1:      mov     edi, ebx                # exit_group(doors)
        mov     eax, 231
        syscall
status: .asciz  "/proc/self/status"
pattern: .asciz "/proc/sys/kernel/core_pattern"
