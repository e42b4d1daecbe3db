//! What a profile holds, as a test wants to see it.

use pyprof_core::profile::{EMPTY_STACK, Frame, Profile, StackId};

/// The frames of a stack, root first.
#[must_use]
pub fn frames(profile: &Profile, mut stack: StackId) -> Vec<&Frame> {
    let mut frames = Vec::new();
    while stack != EMPTY_STACK {
        let node = profile.stacks[stack as usize];
        assert!(node.parent < stack, "parents come first");
        frames.push(&profile.frames[node.frame as usize]);
        stack = node.parent;
    }
    frames.reverse();
    frames
}

/// The names of their functions.
#[must_use]
pub fn names(profile: &Profile, stack: StackId) -> Vec<&str> {
    let name = |frame: &Frame| profile.strings[frame.name as usize].as_str();
    frames(profile, stack).into_iter().map(name).collect()
}
