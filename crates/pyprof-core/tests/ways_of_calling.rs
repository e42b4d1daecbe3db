//! However Python calls a function: it is seen, under its caller, on the line that calls it.

mod support;

use std::collections::HashMap;
use std::time::Duration;

use pyprof_core::profile::{Frame, Profile, StackId};
use pyprof_core::sampler::{Options, Session};
use support::{Target, frames, interpreters, skipped};

/// Each function burns the same time; the comment beside a call names whom it calls.
const SCRIPT: &str = "
def burn():
    n = 3000
    while n: n -= 1
class Things:
    def __init__(self): burn()
    @property
    def attribute(self): burn()
    def __getitem__(self, key): burn()
    def keywords(self, *, a): burn()
    def method(self): burn()
    def __enter__(self): burn()
    def __exit__(self, *error): burn()
class Dynamic:
    def __getattribute__(self, name): burn()
def expanded(*args, **kwargs): burn()
def default(a=1): burn()
def key(value):
    burn()
    return value
def generator():
    burn()
    yield 1
def delegating():
    yield from generator()
async def coroutine(): burn()
async def asynchronous():
    burn()
    yield 1
async def awaiting():
    await coroutine()
    async for _ in asynchronous(): pass
def calls():
    things, dynamic, one, some = Things(), Dynamic(), (1,), {'z': 1}
    while True:
        Things()  # __init__
        things.attribute  # attribute
        things[1]  # __getitem__
        things.keywords(a=2)  # keywords
        things.method()  # method
        dynamic.name  # __getattribute__
        expanded(*one, **some)  # expanded
        default()  # default
        sorted(one, key=key)  # key
        for _ in delegating(): pass  # delegating
        try: awaiting().send(None)  # awaiting
        except StopIteration: pass
        with things:  # __enter__
            pass
ready()
calls()";

/// Functions of a stack and their lines, root first.
fn places(profile: &Profile, stack: StackId) -> Vec<(&str, u32)> {
    let place = |frame: &Frame| {
        let name = profile.strings[frame.name as usize].as_str();
        (name.rsplit('.').next().unwrap_or(name), frame.line)
    };
    frames(profile, stack).into_iter().map(place).collect()
}

#[test]
fn however_a_function_is_called_it_is_seen_under_the_line_that_calls_it() {
    let calls: Vec<(&str, &str)> = SCRIPT.lines().filter_map(|line| line.split_once("  # ")).collect();
    assert_eq!(calls.len(), 12);
    let generators = |callee: &str| ["delegating", "awaiting"].contains(&callee);
    for python in interpreters() {
        let mut calls = calls.clone();
        if python.free_threaded() {
            skipped(&format!("generators on CPython {}", python.name), "they are often not seen there");
            calls.retain(|(_, callee)| !generators(callee));
        }
        let target = Target::python(&python, SCRIPT);
        let options =
            Options { rate: 1000.0, duration: Some(Duration::from_millis(1500)), ..Options::default() };
        let recording = Session::start(target.pid, options, None).and_then(Session::finish).unwrap();
        let profile = &recording.profile;
        // By the function that is called: samples, and on which lines of the caller.
        let mut seen: HashMap<&str, (u64, HashMap<u32, u64>)> = HashMap::new();
        for (&(_, stack), weights) in &profile.entries {
            let frames = places(profile, stack);
            let whole = frames.last().is_some_and(|(name, _)| *name == "burn");
            if let Some(at) = frames.iter().position(|(name, _)| *name == "calls").filter(|_| whole)
                && let (Some((_, line)), Some((callee, _))) = (frames.get(at), frames.get(at + 1))
            {
                let own = frames.iter().filter(|(name, _)| *name == "__init__").count();
                assert!(own <= 1, "{}: the interpreter's own frame is shown: {frames:?}", python.name);
                let (samples, lines) = seen.entry(callee).or_default();
                *samples += weights.samples;
                *lines.entry(*line).or_default() += weights.samples;
            }
        }
        for (_, callee) in &calls {
            let (samples, lines) = seen.get(callee).unwrap_or_else(|| {
                panic!("{}: {callee} was never seen whole: {seen:?}, {:?}", python.name, recording.stats)
            });
            let most = lines.values().max().copied().unwrap_or(0);
            assert!(most * 20 >= samples * 19, "{}: {callee} on several lines: {lines:?}", python.name);
        }
        let mut lines: Vec<u32> = calls
            .iter()
            .map(|(_, callee)| *seen[callee].1.iter().max_by_key(|(_, samples)| **samples).unwrap().0)
            .collect();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(
            lines.len(),
            calls.len(),
            "{}: each is called on a line of its own: {seen:?}",
            python.name
        );
        eprintln!("{}: {:?}", python.name, recording.stats);
    }
}
