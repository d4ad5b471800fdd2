//! A seccomp filter for all threads: what a loaded model has no use for is refused.
//!
//! A list of what is refused rather than of what is allowed: engines come in versions that this
//! program does not know, and a call that is missing from a list of allowed ones ends them in the
//! middle of a request. Landlock and the namespaces stand behind it.

use std::io;

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, c_long, sock_filter,
    sock_fprog,
};

/// <https://github.com/torvalds/linux/blob/master/include/uapi/linux/audit.h>
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;
#[cfg(target_arch = "arm")]
const ARCHITECTURE: u32 = 0x4000_0028;

/// Places in `struct seccomp_data`: number, architecture, and the low half of the first argument.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENT: u32 = 16;

const REFUSED: &[c_long] = &[
    // Sockets: those it has stay.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // Files: those it has mapped stay.
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_truncate,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_chdir,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_inotify_init1,
    libc::SYS_fanotify_init,
    // Other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_kcmp,
    libc::SYS_setns,
    libc::SYS_unshare,
    // Doors into the kernel that go around this filter, or are often broken.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_personality,
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
];

/// The same under their older names, which newer architectures do without.
#[cfg(any(target_arch = "x86_64", target_arch = "arm"))]
const REFUSED_OLD: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_creat,
    libc::SYS_unlink,
    libc::SYS_rmdir,
    libc::SYS_rename,
    libc::SYS_mkdir,
    libc::SYS_mknod,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utimes,
    libc::SYS_inotify_init,
    libc::SYS_fork,
    libc::SYS_vfork,
];
#[cfg(not(any(target_arch = "x86_64", target_arch = "arm")))]
const REFUSED_OLD: &[c_long] = &[];

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const DENY: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
/// The C library then does it the old way, whose arguments can be looked at.
const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// Installs the filter for every thread of this process.
pub(super) fn restrict() -> io::Result<()> {
    let filter = filter(std::process::id());
    let program = sock_fprog {
        len: u16::try_from(filter.len()).map_err(io::Error::other)?,
        filter: filter.as_ptr().cast_mut(),
    };
    install(&program)
}

#[allow(unsafe_code)]
fn install(program: &sock_fprog) -> io::Result<()> {
    // SAFETY: the program and the instructions it points to live until the call returns; the kernel
    // copies and checks them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            program,
        )
    };
    match result {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        thread => Err(io::Error::other(format!("thread {thread} could not be restricted"))),
    }
}

/// The instructions, for a process of this number.
fn filter(pid: u32) -> Vec<sock_filter> {
    let mut code = vec![load(ARCH), jump(BPF_JEQ, ARCHITECTURE, 1, 0), answer(DENY), load(NUMBER)];
    // Calls of the x32 kind have other numbers.
    if cfg!(target_arch = "x86_64") {
        code.extend([jump(BPF_JSET, 0x4000_0000, 0, 1), answer(DENY)]);
    }
    for &number in REFUSED.iter().chain(REFUSED_OLD) {
        code.extend([jump(BPF_JEQ, number as u32, 0, 1), answer(DENY)]);
    }
    code.extend([jump(BPF_JEQ, libc::SYS_clone3 as u32, 0, 1), answer(UNKNOWN)]);
    // Threads, but no processes.
    code.extend([
        jump(BPF_JEQ, libc::SYS_clone as u32, 0, 4),
        load(ARGUMENT),
        jump(BPF_JSET, libc::CLONE_THREAD as u32, 1, 0),
        answer(DENY),
        answer(ALLOW),
    ]);
    // Signals to itself, such as abort's.
    for number in [libc::SYS_kill, libc::SYS_tgkill] {
        code.extend([
            jump(BPF_JEQ, number as u32, 0, 4),
            load(ARGUMENT),
            jump(BPF_JEQ, pid, 1, 0),
            answer(DENY),
            answer(ALLOW),
        ]);
    }
    code.push(answer(ALLOW));
    code
}

fn load(at: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, at, 0, 0)
}

fn jump(test: u32, value: u32, yes: u8, no: u8) -> sock_filter {
    instruction(BPF_JMP | test | BPF_K, value, yes, no)
}

fn answer(value: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, value, 0, 0)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}
