//! What came between two moments of one profile that goes on.

use rustc_hash::FxHashMap;

use super::{Profile, TimelineEntry, Weights};

impl Weights {
    fn without(self, earlier: Self) -> Self {
        Self {
            samples: self.samples.saturating_sub(earlier.samples),
            wall_ns: self.wall_ns.saturating_sub(earlier.wall_ns),
            running_ns: self.running_ns.saturating_sub(earlier.running_ns),
            gil_ns: self.gil_ns.saturating_sub(earlier.gil_ns),
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            waits: self.waits.saturating_sub(earlier.waits),
        }
    }

    fn is_zero(self) -> bool {
        self == Self::default()
    }
}

impl Profile {
    /// This profile without what `earlier`, an earlier state of the same one, held already. Times of the ordered
    /// record are counted from `moment`, in ns since the profile's start.
    #[must_use]
    pub fn since(mut self, earlier: &Self, moment: u64) -> Self {
        let now: FxHashMap<u32, u32> =
            (0..).zip(&self.threads).map(|(index, info)| (info.id, index)).collect();
        // Threads that have gone since were added up in the one that has no process.
        let ended = (0..).zip(&self.threads).find(|(_, info)| info.pid == 0).map(|(index, _)| index);
        for (&(thread, stack), &before) in &earlier.entries {
            let place = now.get(&earlier.threads[thread as usize].id).copied().filter(|&index| {
                self.threads[index as usize].process == earlier.threads[thread as usize].process
            });
            let Some(place) = place.or(ended) else { continue };
            if let Some(weights) = self.entries.get_mut(&(place, stack)) {
                *weights = weights.without(before);
            }
        }
        for before in &earlier.threads {
            let place = now.get(&before.id).map(|&index| index as usize);
            if let Some(info) = place.and_then(|index| self.threads.get_mut(index)) {
                info.gil = info.gil.since(before.gil);
            }
        }
        self.entries.retain(|_, weights| !weights.is_zero());
        let timeline = std::mem::take(&mut self.timeline);
        self.timeline = (0..)
            .zip(timeline)
            .filter_map(|(index, entry): (usize, TimelineEntry)| {
                let before = earlier.timeline.get(index).map_or(Weights::default(), |line| line.weights);
                let weights = entry.weights.without(before);
                let time_ns = (entry.time_ns + before.wall_ns).saturating_sub(moment);
                (!weights.is_zero()).then_some(TimelineEntry { time_ns, weights, ..entry })
            })
            .collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use crate::profile::state::ON_CPU;
    use crate::profile::{
        EMPTY_STACK, ProcessSeen, ProfileBuilder, Sighting, State, ThreadInfo, TimelineEntry, Weights,
    };

    fn seen(thread: u32, stack: u32, time_ms: u64) -> Sighting {
        let (time_ns, wall_ns) = (time_ms * 1_000_000, 1_000_000);
        Sighting { thread, stack, time_ns, wall_ns, state: State::default().with(ON_CPU, true) }
    }

    fn thread(builder: &mut ProfileBuilder) -> u32 {
        let (command, python_version) = (Vec::new(), None);
        let process = ProcessSeen { id: 0, pid: 1, ppid: 1, python_version, command, ended: false };
        let process = builder.process(process);
        builder.thread(ThreadInfo { process, pid: 1, ..ThreadInfo::default() })
    }

    #[test]
    fn only_what_came_later_is_left() {
        let mut builder = ProfileBuilder::new(true);
        let main = thread(&mut builder);
        let frame = builder.missing_frame();
        let stack = builder.stack(EMPTY_STACK, frame);
        builder.sample(&seen(main, EMPTY_STACK, 1));
        builder.sample(&seen(main, stack, 2));
        let earlier = builder.so_far(|_| true);
        assert!(builder.so_far(|_| true).since(&earlier, 2_000_000).entries.is_empty());
        // Joined to the line before, of which only this part is new.
        builder.sample(&seen(main, stack, 3));
        let late = thread(&mut builder);
        builder.sample(&seen(late, EMPTY_STACK, 4));
        let later = builder.so_far(|_| true).since(&earlier, 2_000_000);
        let weights = Weights { samples: 1, wall_ns: 1_000_000, running_ns: 1_000_000, ..Weights::default() };
        assert_eq!(later.entries.len(), 2);
        assert_eq!(later.entries[&(main, stack)], weights);
        assert_eq!(later.entries[&(late, EMPTY_STACK)], weights);
        assert_eq!(
            later.timeline,
            [
                TimelineEntry { time_ns: 0, thread: main, stack, weights },
                TimelineEntry { time_ns: 1_000_000, thread: late, stack: EMPTY_STACK, weights },
            ]
        );
    }

    #[test]
    fn threads_that_were_added_up_meanwhile_do_not_count_again() {
        let mut builder = ProfileBuilder::new(false);
        let first = thread(&mut builder);
        builder.sample(&seen(first, EMPTY_STACK, 1));
        builder.end_thread(first);
        builder.change_process(0, |info| info.ended = true);
        let earlier = builder.so_far(|_| true);
        for _ in 0..5000 {
            let next = thread(&mut builder);
            builder.sample(&seen(next, EMPTY_STACK, 1));
            builder.end_thread(next);
            let process = builder.profile().threads[next as usize].process;
            builder.change_process(process, |info| info.ended = true);
        }
        let later = builder.so_far(|_| true).since(&earlier, 0);
        let samples: u64 = later.entries.values().map(|weights| weights.samples).sum();
        assert_eq!(samples, 5000);
    }
}
