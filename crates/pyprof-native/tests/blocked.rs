//! Blocked threads, on every Python: native stacks to the thread's root, Python's frames in their true place, and a
//! target that notices nothing.

#[path = "../../pyprof-core/tests/support/mod.rs"]
mod support;

use pyprof_core::attach::Attached;
use pyprof_core::memory::{ProcessMemory, RemoteMemory};
use pyprof_core::profile::FrameKind;
use pyprof_core::snapshot::{FrameSnapshot, Seen, Snapshot, ThreadSnapshot};
use pyprof_native::blocked::WaitingThread;
use pyprof_native::dump::{DumpOptions, take};
use pyprof_native::look::Caught;
use pyprof_native::{Merger, Unwinder};
use support::{Target, interpreters};

const ALL: DumpOptions = DumpOptions { locals: false, native: true, kernel: true };

/// Sixteen ways of blocking. A call that came back, whatever with, is told when the test asks.
const WAYS: &str = r"
import ctypes, fcntl, select, socket, struct, tempfile, warnings
warnings.simplefilter('ignore')
libc = ctypes.CDLL(None, use_errno=True)
returned = []
def way(name):
    def make(function):
        def body():
            function()
            returned.append('%s:%d' % (name, ctypes.get_errno()))
        threading.Thread(target=body, name=name, daemon=True).start()
    return make
timespec = struct.pack('qq', 3600, 0)
pipes = [os.pipe() for _ in range(6)]

@way('sleep')
def in_sleep(): time.sleep(3600)
@way('read')
def in_read(): libc.read(pipes[0][0], ctypes.create_string_buffer(8), 8)
server = socket.socket(); server.bind(('127.0.0.1', 0)); server.listen(1)
@way('accept')
def in_accept(): libc.accept(server.fileno(), None, None)
pair = socket.socketpair(); timed = socket.socketpair()
@way('recv')
def in_recv(): libc.recv(pair[0].fileno(), ctypes.create_string_buffer(8), 8, 0)
timed[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timespec)
@way('recv_timeout')
def in_recv_timeout(): libc.recv(timed[0].fileno(), ctypes.create_string_buffer(8), 8, 0)
@way('poll')
def in_poll(): libc.poll(struct.pack('ihh', pipes[1][0], 1, 0), 1, 3600000)
epoll = select.epoll()
@way('epoll_wait')
def in_epoll_wait(): libc.epoll_wait(epoll.fileno(), ctypes.create_string_buffer(64), 4, 3600000)
@way('select')
def in_select(): select.select([pipes[2][0]], [], [], 3600)
lock = threading.Lock(); lock.acquire()
@way('lock')
def in_lock(): lock.acquire()
condition = threading.Condition()
@way('condition')
def in_condition():
    with condition: condition.wait()
@way('join')
def in_join():
    other = threading.Thread(target=time.sleep, args=(3600,), daemon=True, name='other')
    other.start(); other.join()
child = os.fork()
if child == 0:
    os.close(pipes[3][1]); os.read(pipes[3][0], 1); os._exit(0)
@way('waitpid')
def in_waitpid(): libc.waitpid(child, None, 0)
semaphores = libc.semget(0, 1, 0o600)
@way('semtimedop')
def in_semtimedop(): libc.semtimedop(semaphores, struct.pack('Hhh', 0, -1, 0), 1, timespec)
@way('sigtimedwait')
def in_sigtimedwait(): libc.sigtimedwait(struct.pack('Q', 1 << 9) + bytes(120), None, timespec)
locked = tempfile.TemporaryFile(); fcntl.flock(locked, fcntl.LOCK_EX)
again = os.open('/proc/self/fd/%d' % locked.fileno(), os.O_RDWR)
@way('flock')
def in_flock(): libc.flock(again, 2)
@way('pause')
def in_pause(): libc.pause()
ready(semaphores)
for line in sys.stdin: ready(*returned)
";

/// The system call of each way.
const CALLS: &[(&str, &[&str])] = &[
    ("sleep", &["clock_nanosleep", "pselect6", "select", "nanosleep"]),
    ("read", &["read"]),
    ("accept", &["accept"]),
    ("recv", &["recvfrom"]),
    ("recv_timeout", &["recvfrom"]),
    ("poll", &["poll", "ppoll"]),
    ("epoll_wait", &["epoll_wait", "epoll_pwait"]),
    ("select", &["select", "pselect6"]),
    ("lock", &["futex"]),
    ("condition", &["futex"]),
    ("join", &["futex"]),
    ("waitpid", &["wait4"]),
    ("semtimedop", &["semtimedop"]),
    ("sigtimedwait", &["rt_sigtimedwait"]),
    ("flock", &["flock"]),
    ("pause", &["pause", "ppoll"]),
];

/// Looks until all these threads are blocked and shown whole.
fn settle(target: &Target, names: &[&str]) -> Snapshot {
    let mut tries = 0;
    loop {
        let snapshot = take(target.pid, ALL).expect("a dump");
        let whole = |name: &&str| thread(&snapshot, name).is_some_and(is_whole);
        tries += 1;
        if names.iter().all(whole) || tries == 50 {
            return snapshot;
        }
    }
}

fn thread<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a ThreadSnapshot> {
    snapshot.threads.iter().find(|thread| thread.name == name)
}

fn is_whole(thread: &ThreadSnapshot) -> bool {
    thread.complete && thread.native.as_ref().is_some_and(|native| native.complete)
}

fn text(frames: &[FrameSnapshot]) -> String {
    let line = |frame: &FrameSnapshot| format!("{:?} {} ({})", frame.kind, frame.name, frame.module);
    frames.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Whether the frames hold these, in this order: `python NAME`, `native NAME`, `module PART` for a native frame of a file.
fn in_order(frames: &[FrameSnapshot], wanted: &[&str]) -> bool {
    let mut rest = frames.iter();
    wanted.iter().all(|wanted| {
        let (kind, what) = wanted.split_once(' ').expect("two words");
        rest.any(|frame| match kind {
            "python" => frame.kind == FrameKind::Python && frame.name == what,
            "native" => frame.kind == FrameKind::Native && frame.name == what,
            _ => frame.kind == FrameKind::Native && frame.module.contains(what),
        })
    })
}

#[test]
fn every_way_of_blocking_is_shown_from_root_to_call_and_none_is_interrupted() {
    for interpreter in interpreters() {
        let mut target = Target::python(&interpreter, WAYS);
        let semaphores: i32 = target.words[0].parse().expect("an id");
        let names: Vec<&str> = CALLS.iter().map(|(name, _)| *name).collect();
        let snapshot = settle(&target, &names);
        for _ in 0..5 {
            take(target.pid, DumpOptions { native: false, ..ALL }).expect("a dump");
        }
        let returned = target.ask("report");
        // SAFETY: removes a set of semaphores that this test's target has made; no memory is involved.
        unsafe { nix::libc::semctl(semaphores, 0, nix::libc::IPC_RMID) };
        assert!(returned.is_empty(), "{}: came back: {returned:?}", interpreter.name);
        for (name, calls) in CALLS {
            let thread = thread(&snapshot, name).unwrap_or_else(|| panic!("{}: no {name}", interpreter.name));
            let about = format!("{} {name}: {:?}\n{}", interpreter.name, thread.native, text(&thread.frames));
            assert!(is_whole(thread), "{about}");
            let wait = thread.native.as_ref().and_then(|native| native.waits_in.clone()).expect("it waits");
            assert!(calls.contains(&wait.call.as_str()), "{about}");
            assert!(in_order(&thread.frames, &["python body", &format!("python in_{name}")]), "{about}");
            let leaf =
                thread.frames.iter().rposition(|frame| frame.kind == FrameKind::Python).expect("Python");
            assert!(thread.frames[leaf + 1..].iter().any(|frame| frame.kind == FrameKind::Native), "{about}");
            assert_eq!(thread.frames.last().map(|frame| frame.kind), Some(FrameKind::Kernel), "{about}");
        }
    }
}

const NESTED: &str = r"
import ctypes, functools
def slow(x): time.sleep(3600)
def key(x): return functools.reduce(lambda a, b: slow(b), [1, 2])
COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
def compare(a, b): lock.acquire(); return 0
def csort(): ctypes.CDLL(None).qsort((ctypes.c_int * 4)(4, 3, 2, 1), 4, 4, COMPARE(compare))
lock = threading.Lock(); lock.acquire()
def produce():
    lock.acquire(); yield 1
def generate(): return next(produce())
class Meta(type):
    def __call__(cls, *args): return lock.acquire()
class Class(metaclass=Meta): pass
def construct(): return Class(1)
def dive(depth): return sorted([depth], key=dive_deeper)
def dive_deeper(depth): return dive(depth - 1) if depth else lock.acquire()
def deep(): dive(150)
for function in csort, generate, construct, deep:
    threading.Thread(target=function, name=function.__name__, daemon=True).start()
def main(): sorted([3, 1], key=key)
threading.Thread(target=main, name='main', daemon=True).start()
ready(); wait()
";

#[test]
fn python_and_c_alternate_in_true_order() {
    for interpreter in interpreters() {
        let target = Target::python(&interpreter, NESTED);
        let snapshot = settle(&target, &["csort", "generate", "construct", "deep", "main"]);
        let check = |name: &str, wanted: &[&str]| {
            let thread = thread(&snapshot, name).unwrap_or_else(|| panic!("{}: no {name}", interpreter.name));
            let about = format!("{} {name}: {:?}\n{}", interpreter.name, thread.native, text(&thread.frames));
            assert!(is_whole(thread), "{about}");
            assert!(in_order(&thread.frames, wanted), "{about}");
        };
        let c_sort = ["python csort", "module _ctypes", "module libffi", "module libc", "module libffi"];
        check("csort", &[&c_sort[..], &["module _ctypes", "python compare", "module libc"]].concat());
        check("generate", &["python generate", "python produce", "module libc"]);
        check("construct", &["python construct", "python __call__", "module libc"]);
        check("main", &["python main", "python key", "python <lambda>", "python slow", "module libc"]);
        // pyenv's have symbols.
        if interpreter.name.contains("pyenv") {
            let sorted = ["python main", "native list_sort_impl", "python key", "native functools_reduce"];
            check("main", &[&sorted[..], &["python <lambda>", "python slow", "native time_sleep"]].concat());
        }
        let deep = thread(&snapshot, "deep").expect("it is there");
        let dives = deep.frames.iter().filter(|frame| frame.name == "dive").count();
        assert_eq!(dives, 151, "{}: more than the first copy of the stack", interpreter.name);
    }
}

const RESTLESS: &str = r"
import functools
def leaf(x):
    time.sleep(0.0005); return x
def key(x): return functools.reduce(lambda a, b: leaf(b), [1, 2])
def work():
    while True: sorted([3, 1, 2], key=key)
for _ in range(2): threading.Thread(target=work, daemon=True).start()
ready(); work()
";

/// Merged stacks to judge by, of each Python.
const ENOUGH: u32 = 500;

/// Threads that wake and sleep all the time: whatever was caught asleep merges.
#[test]
fn whatever_holds_still_merges() {
    for interpreter in interpreters() {
        let target = Target::python(&interpreter, RESTLESS);
        let mut process = Attached::open(target.pid).expect("attached");
        let memory = ProcessMemory::new(target.pid);
        let mut unwinder = Unwinder::new(target.pid).expect("maps");
        let mut merger = Merger::new(process.reader.layout());
        let (mut held, mut complete) = (0, 0);
        let mut last = None;
        // How many looks that takes depends on what else the machine does.
        for _ in 0..20_000 {
            if held >= ENOUGH {
                break;
            }
            let threads: Vec<_> =
                process.reader.threads().map(|thread| (thread.address, thread.header)).collect();
            let waiting: Vec<(u64, WaitingThread)> = threads
                .into_iter()
                .filter_map(|(address, header)| {
                    Some((address, WaitingThread::open(target.pid, process.tid(header)).ok()?))
                })
                .collect();
            let mut caught: Vec<(u64, Caught<'_>)> = waiting
                .iter()
                .filter_map(|(address, waiting)| Some((*address, Caught::begin(waiting, &memory)?)))
                .collect();
            process.reader.look(|_| false).expect("it lives");
            let seen: Vec<Seen> = process.reader.threads().map(Seen::from).filter(Seen::is_whole).collect();
            for (address, caught) in &mut caught {
                let Some(thread) = seen.iter().find(|thread| thread.address == *address) else { continue };
                let cframe = Merger::cframe_field(process.reader.layout())
                    .map(|field| memory.read_u64(*address + field).expect("readable"));
                let (_, merged) = caught.merge(&mut unwinder, &mut merger, &memory, &thread.stack, cframe);
                if caught.held() {
                    held += 1;
                    complete += u32::from(merged.is_complete());
                    last = merged.problem.or(last);
                }
            }
        }
        assert!(held >= ENOUGH, "{}: only {held} looks held still", interpreter.name);
        println!("{}: {complete} of {held} merged", interpreter.name);
        assert_eq!(complete, held, "{}: {last:?}", interpreter.name);
    }
}
