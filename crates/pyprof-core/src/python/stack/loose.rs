//! Frames that lie outside the data stack: generators, coroutines, entry markers on the C stack, and every
//! frame object up to 3.10. Their addresses are predicted from the looks before.

use super::pieces::join;

/// A frame that moved is copied twice for this many looks more.
const HOT_FOR: u32 = 64;
/// How many addresses are kept that the last stack did not go through.
const MAX_IDLE: usize = 48;
/// The same where every frame is an object of its own (3.8 to 3.10): one for each function in use.
const MAX_IDLE_OBJECTS: usize = 192;
/// An address that was suspected or seen so few looks ago stays, however many there are: a stack through hundreds of
/// entries from C is only whole once all of them have been read together.
const FRESH: u32 = 3;
/// An address that no stack has gone through is read in so many looks, and then only if both moments lead there.
const TRIED_FOR: u32 = 16;
/// And forgotten after so many.
const UNCONFIRMED_FOR: u32 = 4096;
/// A frame that no stack has gone through for so many looks has to be found anew.
const UNUSED_FOR: u32 = 1024;
/// Pieces that move are joined across gaps up to this many bytes: a piece costs as much as copying some KiB.
const HOT_GAP: u64 = 2048;
/// Pieces at rest are read without hurry.
const COLD_GAP: u64 = 4096;

#[derive(Debug, Clone, Copy)]
struct LooseFrame {
    address: u64,
    seen: u32,
    moved: u32,
    /// A stack went through it
    confirmed: bool,
    /// Since when it is read, if no stack has
    tried: u32,
}

/// Predicted addresses.
#[derive(Debug)]
pub struct Loose {
    /// Sorted by address
    frames: Vec<LooseFrame>,
    round: u32,
    max_idle: usize,
    objects: bool,
}

impl Loose {
    /// `objects`: every frame of this version is an object of its own.
    #[must_use]
    pub fn new(objects: bool) -> Self {
        Self {
            frames: Vec::new(),
            round: 0,
            max_idle: if objects { MAX_IDLE_OBJECTS } else { MAX_IDLE },
            objects,
        }
    }

    /// A look begins.
    pub fn begin(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// The stack went through `address`; `moving`: it stood differently than in the look before.
    pub fn seen(&mut self, address: u64, moving: bool) {
        let round = self.round;
        match self.frames.binary_search_by_key(&address, |frame| frame.address) {
            Ok(index) => {
                let frame = &mut self.frames[index];
                frame.seen = round;
                frame.confirmed = true;
                if moving {
                    frame.moved = round;
                }
            }
            Err(index) => {
                let frame = LooseFrame { address, seen: round, moved: round, confirmed: true, tried: round };
                self.frames.insert(index, frame);
            }
        }
    }

    /// The addresses may hold frames: a link or the thread itself led there.
    pub fn suspect(&mut self, addresses: &[u64]) {
        let (round, confirmed) = (self.round, self.objects);
        let new = |&address: &u64| LooseFrame { address, seen: round, moved: round, confirmed, tried: round };
        self.frames.extend(addresses.iter().map(new));
        // A stable sort: what is known of an address already stands before the suspicion.
        self.frames.sort_by_key(|frame| frame.address);
        self.frames.dedup_by_key(|frame| frame.address);
    }

    /// Both moments lead to `address`: it is read again if it is known and had been given up. Says whether it was so.
    pub fn try_again(&mut self, address: u64) -> bool {
        let round = self.round;
        let Ok(index) = self.frames.binary_search_by_key(&address, |frame| frame.address) else {
            return false;
        };
        let given_up = self.is_given_up(&self.frames[index]);
        if given_up {
            let frame = &mut self.frames[index];
            (frame.tried, frame.seen, frame.moved) = (round, round, round);
        }
        given_up
    }

    /// Torn links lead to places that are none. They are remembered, so that they are not explored again and again.
    fn is_given_up(&self, frame: &LooseFrame) -> bool {
        !frame.confirmed && self.round.wrapping_sub(frame.tried) > TRIED_FOR
    }

    /// Every predicted address.
    pub fn addresses(&self) -> impl Iterator<Item = u64> {
        self.frames.iter().map(|frame| frame.address)
    }

    /// Whether the address is predicted.
    #[must_use]
    pub fn knows(&self, address: u64) -> bool {
        self.frames.binary_search_by_key(&address, |frame| frame.address).is_ok()
    }

    /// `address` cannot be read any more.
    pub fn forget(&mut self, start: u64, end: u64) {
        self.frames.retain(|frame| !(start..end).contains(&frame.address));
    }

    /// A look ended whose stack went through `in_stack` loose frames: drops the addresses used least recently.
    pub fn trim(&mut self, in_stack: usize) {
        let round = self.round;
        let unused = if self.objects { u32::MAX } else { UNUSED_FOR };
        self.frames.retain(|frame| {
            let limit = if frame.confirmed { unused } else { UNCONFIRMED_FOR };
            round.wrapping_sub(frame.seen) <= limit
        });
        if self.frames.len() <= in_stack + self.max_idle {
            return;
        }
        let mut ages: Vec<u32> = self.frames.iter().map(|frame| round.wrapping_sub(frame.seen)).collect();
        let keep = in_stack + self.max_idle * 3 / 4;
        let (_, &mut limit, _) = ages.select_nth_unstable(keep);
        self.frames.retain(|frame| round.wrapping_sub(frame.seen) < limit.max(FRESH));
    }

    /// The ranges to copy twice, and those at rest, for frames of `len` bytes.
    ///
    /// At rest is what has stood still for a while. Of frame objects, which are kept and used again, one that
    /// the last stack did not go through matters only when the thread is there now, moving.
    pub fn ranges(&self, len: u64, hot: &mut Vec<(u64, u64)>, cold: &mut Vec<(u64, u64)>) {
        hot.clear();
        cold.clear();
        for frame in self.frames.iter().filter(|frame| !self.is_given_up(frame)) {
            let idle = self.objects && self.round.wrapping_sub(frame.seen) > 1;
            let moves = self.round.wrapping_sub(frame.moved) <= HOT_FOR;
            let list = if moves || idle { &mut *hot } else { &mut *cold };
            list.push((frame.address, frame.address.saturating_add(len)));
        }
        join(hot, HOT_GAP);
        join(cold, COLD_GAP);
    }
}

#[cfg(test)]
mod tests {
    use super::{HOT_FOR, Loose, MAX_IDLE, TRIED_FOR, UNCONFIRMED_FOR};

    #[test]
    fn moving_frames_are_hot_and_cool_down() {
        let mut loose = Loose::new(false);
        let (mut hot, mut cold) = (Vec::new(), Vec::new());
        loose.begin();
        loose.seen(0x1000, true);
        loose.ranges(80, &mut hot, &mut cold);
        assert_eq!((hot.len(), cold.len()), (1, 0));
        for _ in 0..=HOT_FOR {
            loose.begin();
            loose.seen(0x1000, false);
        }
        loose.ranges(80, &mut hot, &mut cold);
        assert_eq!((hot.len(), cold.len()), (0, 1));
    }

    #[test]
    fn the_least_recently_seen_are_dropped_and_the_stack_stays() {
        let mut loose = Loose::new(false);
        for address in 0..200 {
            loose.begin();
            loose.seen(0x10_0000 + address * 0x1_0000, true);
            loose.seen(0x1000, false);
            loose.trim(1);
        }
        assert!(loose.knows(0x1000));
        assert!(loose.knows(0x10_0000 + 199 * 0x1_0000));
        assert!(!loose.knows(0x10_0000));
        assert!(loose.frames.len() <= MAX_IDLE + 1);
    }

    #[test]
    fn places_that_no_stack_goes_through_are_given_up_and_tried_again_when_both_moments_say_so() {
        let mut loose = Loose::new(false);
        let (mut hot, mut cold) = (Vec::new(), Vec::new());
        let mut read = |loose: &Loose| {
            loose.ranges(80, &mut hot, &mut cold);
            hot.len() + cold.len()
        };
        loose.begin();
        loose.suspect(&[0x1000]);
        assert_eq!(read(&loose), 1);
        assert!(!loose.try_again(0x1000), "it has not been given up");
        for _ in 0..=TRIED_FOR {
            loose.begin();
            loose.trim(0);
        }
        assert_eq!(read(&loose), 0);
        assert!(loose.knows(0x1000), "it is not explored again");
        assert!(loose.try_again(0x1000) && !loose.try_again(0x2000));
        assert_eq!(read(&loose), 1);
        for _ in 0..=UNCONFIRMED_FOR {
            loose.begin();
            loose.trim(0);
        }
        assert!(!loose.knows(0x1000));
    }
}
