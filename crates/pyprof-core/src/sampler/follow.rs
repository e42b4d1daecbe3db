//! Follows processes on a thread of its own, so that sampling never waits: finds children as they appear, attaches
//! to those that are Python, notices new programs and ends.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::attach::Attached;
use crate::process::children::{children, command_line, last_pid, share_memory};
use crate::process::exit::{Fate, ProcessHandle};
use crate::process::stat::Stat;
use crate::{Error, Result};

/// How often to look for new children and for ends.
const TICK: Duration = Duration::from_millis(10);
/// Children are looked for this often even when nobody seems to have been started: containers fake what tells so.
const RESCAN: Duration = Duration::from_millis(250);
/// A search for children takes at most one part in this many of the time.
const SCAN_SHARE: u32 = 20;
/// Attempts to attach to one process: soon after its start they follow each other closely...
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// ...then in proportion to its age: a program that starts as something else can become Python late, by loading it
/// as a library.
const AGE_SHARE: u32 = 8;
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// An attempt takes at most one part in this many of the time, and in its first second half of it: a child can be
/// short-lived, and looking for an interpreter that is not there yet takes long.
const ATTEMPT_SHARE: u32 = 10;
const YOUNG: Duration = Duration::from_secs(1);
/// A child of `vfork` has its parent's memory until it starts its program. Where the kernel does not tell, that is
/// given this long.
const VFORK_GRACE: Duration = Duration::from_millis(20);
/// More processes than this are not followed at once.
const MAX_FOLLOWED: usize = 4096;

/// What the sampling thread is told.
#[derive(Debug)]
pub enum News {
    /// A process was found
    Found { pid: i32, ppid: i32, command: Vec<String> },
    /// The arguments of a process: when it was found they may still have been its parent's
    Command { pid: i32, command: Vec<String> },
    /// A process replaced its program
    Exec { pid: i32, command: Vec<String> },
    /// A process is ready to be sampled
    Ready(Box<Attached>),
    /// A process ended
    Exited { pid: i32 },
    /// None of the processes is left
    Nobody,
}

/// What the sampling thread tells.
#[derive(Debug, Clone, Copy)]
pub enum Word {
    /// This process cannot be read any more: it has ended, replaced its program, or changed its user
    Lost(i32),
}

/// An error: the sampling thread has gone.
type Told = std::result::Result<(), ()>;

#[derive(Debug)]
struct Followed {
    pid: i32,
    ppid: i32,
    /// `None` while it has not been looked into: the memory it has may still be its parent's
    handle: Option<ProcessHandle>,
    /// When it, or its program, was found
    since: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be tried at that time
    Unknown(Instant),
    /// The sampling thread has it
    Sampled,
}

/// The sampling thread's line to the follower. Dropped, it ends the follower and waits for it.
#[derive(Debug)]
pub struct Line {
    news: Receiver<News>,
    words: Option<Sender<Word>>,
    thread: Option<JoinHandle<()>>,
}

impl Line {
    /// What has happened since.
    pub fn hear(&self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// The follower is told.
    pub fn tell(&self, word: Word) {
        if let Some(words) = &self.words {
            // It goes when this line is dropped, not before.
            let _ = words.send(word);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.words = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; it only means that no more children are found.
            let _ = thread.join();
        }
    }
}

/// Follows the process of `root`, and its children when asked. `sampled`: the sampling thread has it already.
pub fn start(root: ProcessHandle, sampled: bool, with_children: bool) -> Result<Line> {
    let (tell_news, news) = channel();
    let (words, hear_words) = channel();
    let follower = Follower::new(root, sampled, with_children, tell_news);
    let thread = std::thread::Builder::new()
        .name("pyprof-follower".to_owned())
        .spawn(move || follower.run(&hear_words))
        .map_err(|source| Error::System { operation: "starting a thread".to_owned(), source })?;
    Ok(Line { news, words: Some(words), thread: Some(thread) })
}

/// The processes followed.
#[derive(Debug)]
struct Follower {
    followed: Vec<Followed>,
    with_children: bool,
    news: Sender<News>,
    last_pid: Option<i32>,
    next_scan: Instant,
    rescan: Instant,
}

impl Follower {
    fn new(root: ProcessHandle, sampled: bool, with_children: bool, news: Sender<News>) -> Self {
        let now = Instant::now();
        let pid = root.pid();
        let state = if sampled { State::Sampled } else { State::Unknown(now) };
        let root = Followed { pid, ppid: 0, handle: Some(root), since: now, state };
        Self { followed: vec![root], with_children, news, last_pid: None, next_scan: now, rescan: now }
    }

    /// Works until `words` is closed, which is the end of the session.
    fn run(mut self, words: &Receiver<Word>) {
        loop {
            let waits = self.followed.iter().any(|one| matches!(one.state, State::Unknown(..)));
            let word = if self.with_children || waits {
                words.recv_timeout(TICK)
            } else {
                words.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match word {
                Ok(word) => self.hear(word),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // The sampling thread has gone when it does not listen.
            if self.step().is_err() {
                return;
            }
        }
    }

    fn hear(&mut self, word: Word) {
        let Word::Lost(pid) = word;
        if let Some(one) = self.followed.iter_mut().find(|one| one.pid == pid) {
            one.state = State::Unknown(Instant::now());
            one.since = Instant::now();
        }
    }

    fn step(&mut self) -> Told {
        self.look_for_ends()?;
        if self.with_children {
            self.look_for_children()?;
        }
        for index in 0..self.followed.len() {
            self.look_into(index)?;
        }
        Ok(())
    }

    fn tell(&self, news: News) -> Told {
        self.news.send(news).map_err(|_| ())
    }

    fn look_for_ends(&mut self) -> Told {
        if self.followed.is_empty() {
            return Ok(());
        }
        let (left, ended): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.followed).into_iter().partition(|one| !one.has_ended());
        self.followed = left;
        for one in ended {
            self.tell(News::Exited { pid: one.pid })?;
        }
        if self.followed.is_empty() { self.tell(News::Nobody) } else { Ok(()) }
    }

    fn look_for_children(&mut self) -> Told {
        let now = Instant::now();
        let last = last_pid();
        if now < self.next_scan || (last == self.last_pid && last.is_some() && now < self.rescan) {
            return Ok(());
        }
        self.last_pid = last;
        let own = std::process::id() as i32;
        let mut index = 0;
        // New ones are looked through as well: the list grows meanwhile.
        while let Some(parent) = self.followed.get(index).map(|one| one.pid) {
            for pid in children(parent) {
                let known = self.followed.iter().any(|one| one.pid == pid);
                if known || pid == own || self.followed.len() >= MAX_FOLLOWED {
                    continue;
                }
                let (handle, state) = (None, State::Unknown(now));
                self.followed.push(Followed { pid, ppid: parent, handle, since: now, state });
                self.tell(News::Found { pid, ppid: parent, command: command_line(pid) })?;
            }
            index += 1;
        }
        self.next_scan = Instant::now() + now.elapsed() * SCAN_SHARE;
        self.rescan = now + RESCAN;
        Ok(())
    }

    /// A process that is not sampled: has it become Python?
    fn look_into(&mut self, index: usize) -> Told {
        let one = &mut self.followed[index];
        if one.state == State::Sampled || one.still_its_parents_memory() {
            return Ok(());
        }
        let pid = one.pid;
        let fate = one.handle.as_ref().map(ProcessHandle::fate);
        match fate {
            Some(Fate::Running) => {}
            Some(Fate::Exited) => return Ok(()),
            None | Some(Fate::Replaced) => {
                // It may end at any moment: that shows in the next step.
                let Ok(handle) = ProcessHandle::open(pid) else { return Ok(()) };
                one.handle = Some(handle);
                one.since = Instant::now();
                one.state = State::Unknown(Instant::now());
                let command = command_line(pid);
                self.tell(match fate {
                    Some(_) => News::Exec { pid, command },
                    None => News::Command { pid, command },
                })?;
            }
        }
        let one = &mut self.followed[index];
        let State::Unknown(at) = one.state else { return Ok(()) };
        let started = Instant::now();
        if started < at {
            return Ok(());
        }
        // On an error nothing is certain: while a program is being replaced, even what it may be read by changes.
        if let Ok(process) = Attached::open_at_once(pid) {
            one.state = State::Sampled;
            self.tell(News::Ready(Box::new(process)))
        } else {
            let age = one.since.elapsed();
            let effort = started.elapsed() * if age < YOUNG { 1 } else { ATTEMPT_SHARE };
            let pause = (age / AGE_SHARE).clamp(FIRST_PAUSE, LAST_PAUSE).max(effort);
            one.state = State::Unknown(Instant::now() + pause);
            Ok(())
        }
    }
}

impl Followed {
    fn has_ended(&self) -> bool {
        match &self.handle {
            Some(handle) => handle.has_exited(),
            None => Stat::read(self.pid).map_or(true, |stat| stat.is_zombie()),
        }
    }

    fn still_its_parents_memory(&self) -> bool {
        if self.handle.is_some() {
            return false;
        }
        share_memory(self.pid, self.ppid).unwrap_or_else(|| self.since.elapsed() < VFORK_GRACE)
    }
}
