//! The CPUs of this machine.

/// More CPUs than this are not looked at.
const MAX_CPUS: u32 = 4096;

/// The numbers of the CPUs that are online.
#[must_use]
pub fn online() -> Vec<u32> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let found = parse(&text);
    if !found.is_empty() {
        return found;
    }
    let count = std::thread::available_parallelism().map_or(1, usize::from) as u32;
    (0..count).collect()
}

/// One more than the highest number a CPU can ever have here: the length of a table by CPU.
#[must_use]
pub fn possible() -> u32 {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let highest = parse(&text).into_iter().chain(online()).max();
    highest.map_or(1, |highest| highest + 1)
}

/// `0-3,8`
fn parse(text: &str) -> Vec<u32> {
    let ranges = text.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?.min(MAX_CPUS))
    });
    ranges.flatten().take(MAX_CPUS as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_understood() {
        assert_eq!(parse("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(parse("0"), [0]);
        assert_eq!(parse(""), []);
        assert!(parse("0-4000000000").len() <= MAX_CPUS as usize + 1);
        assert!(!online().is_empty() && online().iter().all(|cpu| *cpu < possible()));
    }
}
