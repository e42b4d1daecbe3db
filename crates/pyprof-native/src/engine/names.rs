//! Names native frames on a thread of its own: the first name out of a large file takes long, and sampling goes on.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::symbols::{NativeSymbol, Place, Symbolizer};

/// A number of the table, and what it means.
pub type Answer = (u32, Arc<[NativeSymbol]>);

/// The line to the thread that names.
#[derive(Debug)]
pub struct Names {
    questions: Option<Sender<(u32, Place)>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
    open: usize,
}

impl Names {
    /// Starts the thread.
    pub fn start() -> std::io::Result<Self> {
        let (questions, hear) = channel::<(u32, Place)>();
        let (tell, answers) = channel();
        let thread = std::thread::Builder::new().name("pyprof-names".to_owned()).spawn(move || {
            let mut symbolizer = Symbolizer::default();
            while let Ok((number, place)) = hear.recv() {
                if tell.send((number, symbolizer.symbols_at(&place))).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { questions: Some(questions), answers, thread: Some(thread), open: 0 })
    }

    /// Asks what is at a place.
    pub fn ask(&mut self, number: u32, place: Place) {
        if self.questions.as_ref().is_some_and(|questions| questions.send((number, place)).is_ok()) {
            self.open += 1;
        }
    }

    /// The next answer, if there is one.
    pub fn hear(&mut self) -> Option<Answer> {
        let answer = self.answers.try_recv().ok()?;
        self.open = self.open.saturating_sub(1);
        Some(answer)
    }

    /// The next answer, until `end`; `None` when all questions are answered, or it is too late.
    pub fn wait(&mut self, end: Instant) -> Option<Answer> {
        if self.open == 0 {
            return None;
        }
        match self.answers.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(answer) => {
                self.open -= 1;
                Some(answer)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.questions = None;
        // A file that is still being read does not hold up the end: the thread ends by itself behind it.
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

/// How long the end of a session waits for names.
pub const PATIENCE: Duration = Duration::from_secs(10);
