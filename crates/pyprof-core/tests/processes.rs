//! Lists and threads of real Python processes.

mod support;

use pyprof_core::memory::{ProcessMemory, RemoteMemory};
use pyprof_core::process;
use pyprof_core::process::threads::{TidMap, name, pthread_tid_offset};
use support::Target;

#[test]
fn every_python_is_listed_with_what_ps_would_say() {
    let mut targets = Vec::new();
    for python in support::interpreters() {
        let script = "
event = threading.Event()
threading.Thread(target=event.wait, daemon=True).start()
v = sys.version_info
end = time.process_time() + 0.03
while time.process_time() < end: pass
ready('%d.%d.%d' % v[:3], os.getuid())
wait()";
        targets.push(Target::python(&python, script));
    }
    let listed = process::list().unwrap();
    assert!(listed.is_sorted_by_key(|process| process.pid));
    for target in &targets {
        let process = listed.iter().find(|process| process.pid == target.pid).expect("listed");
        assert_eq!(process.obstacle, None);
        assert!(process.python_version.as_ref().unwrap().starts_with(&target.words[0]), "{process:?}");
        assert_eq!(process.uid.to_string(), target.words[1]);
        assert!(!process.user.is_empty());
        assert_eq!(process.threads, 2);
        assert!((20_000_000..60_000_000_000).contains(&process.cpu_ns), "{}", process.cpu_ns);
        assert!((20_000_000..300_000_000_000).contains(&process.uptime_ns), "{}", process.uptime_ns);
        assert!(process.executable.contains("python3"));
        assert!(process.command.iter().any(|word| word.contains("threading.Event()")));
    }
    assert!(listed.iter().all(|process| process.pid != std::process::id() as i32));
}

#[test]
fn kernel_thread_ids_behind_pthreads() {
    for python in support::interpreters() {
        let script = "
idents = []
ready_to_go = threading.Barrier(4)
def run():
    idents.append((threading.get_ident(), threading.get_native_id()))
    ready_to_go.wait()
    wait()
for _ in range(3): threading.Thread(target=run, daemon=True).start()
ready_to_go.wait()
idents.append((threading.get_ident(), threading.get_native_id()))
ready(*(number for pair in idents for number in pair))
wait()";
        let target = Target::python(&python, script);
        let numbers: Vec<u64> = target.words.iter().map(|word| word.parse().unwrap()).collect();
        let pairs: Vec<(u64, i32)> = numbers.chunks(2).map(|pair| (pair[0], pair[1] as i32)).collect();
        let idents: Vec<u64> = pairs.iter().map(|pair| pair.0).collect();
        let memory = ProcessMemory::new(target.pid);
        let offset = pthread_tid_offset(&memory, target.pid, &idents).expect("an offset");
        let threads = TidMap::read(target.pid).unwrap();
        assert_eq!(threads.all().len(), 4);
        for (ident, tid) in pairs {
            assert_eq!(memory.read_u32(ident + offset).unwrap() as i32, tid, "{}", python.name);
            assert_eq!(threads.outer(tid), Some(tid));
            assert!(name(target.pid, tid).is_some_and(|name| !name.is_empty()));
        }
        // One thread is enough too.
        assert_eq!(pthread_tid_offset(&memory, target.pid, &idents[3..]), Some(offset), "{}", python.name);
    }
}
