//! Line tables: which source position belongs to which instruction.

/// A place in the source. 0 means unknown; columns are UTF-8 bytes plus 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// Line
    pub line: u32,
    /// Last line of the expression
    pub end_line: u32,
    /// First column
    pub column: u32,
    /// Column after the last
    pub end_column: u32,
}

/// The three encodings of line tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFormat {
    /// `co_lnotab` (3.8, 3.9; `Objects/lnotab_notes.txt`)
    Lnotab,
    /// `co_linetable` of 3.10 (same file)
    LineTable,
    /// The location table of 3.11 and later (`Objects/locations.md`, `InternalDocs/code_objects.md`)
    Locations,
}

impl LineFormat {
    /// What `(major, minor)` uses.
    #[must_use]
    pub fn of(version: (u8, u8)) -> Self {
        match version.1 {
            ..=9 => Self::Lnotab,
            10 => Self::LineTable,
            _ => Self::Locations,
        }
    }
}

/// A decoded line table: from its byte offset on, a row holds until the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineTable {
    rows: Vec<(u32, Position)>,
}

impl LineTable {
    /// Decodes `table`; what is malformed ends it. At most as many rows as bytes.
    #[must_use]
    pub fn decode(format: LineFormat, table: &[u8], first_line: u32) -> Self {
        let mut builder = Builder { rows: Vec::new(), line: i64::from(first_line), offset: 0 };
        match format {
            LineFormat::Lnotab => builder.lnotab(table),
            LineFormat::LineTable => builder.line_table(table),
            LineFormat::Locations => builder.locations(table),
        }
        Self { rows: builder.rows }
    }

    /// The position of the instruction at `offset` bytes from the first one.
    #[must_use]
    pub fn at(&self, offset: u32) -> Position {
        let next = self.rows.partition_point(|(start, _)| *start <= offset);
        next.checked_sub(1).map_or_else(Position::default, |index| self.rows[index].1)
    }

    /// The offset of the first instruction that has a line: all before it prepare the frame.
    #[must_use]
    pub fn first_with_line(&self) -> Option<u32> {
        self.rows.iter().find(|(_, position)| position.line > 0).map(|(start, _)| *start)
    }
}

struct Builder {
    rows: Vec<(u32, Position)>,
    line: i64,
    offset: u32,
}

impl Builder {
    fn lnotab(&mut self, table: &[u8]) {
        self.push(self.line_only());
        for pair in table.chunks_exact(2) {
            self.offset = self.offset.saturating_add(u32::from(pair[0]));
            self.line += i64::from(pair[1] as i8);
            self.push(self.line_only());
        }
    }

    fn line_table(&mut self, table: &[u8]) {
        for pair in table.chunks_exact(2) {
            let position = match pair[1] as i8 {
                i8::MIN => Position::default(),
                delta => {
                    self.line += i64::from(delta);
                    self.line_only()
                }
            };
            if pair[0] > 0 {
                self.push(position);
                self.offset = self.offset.saturating_add(u32::from(pair[0]));
            }
        }
        self.push(Position::default());
    }

    fn locations(&mut self, table: &[u8]) {
        let mut bytes = Bytes(table);
        while let Some(first) = bytes.next() {
            // A first byte without the top bit is no entry; CPython's reader would assert.
            let Some(position) = (if first & 0x80 == 0 { None } else { self.location(first, &mut bytes) })
            else {
                break;
            };
            self.push(position);
            self.offset = self.offset.saturating_add((u32::from(first & 7) + 1) * 2);
        }
        self.push(Position::default());
    }

    fn location(&mut self, first: u8, bytes: &mut Bytes<'_>) -> Option<Position> {
        let code = first >> 3 & 15;
        Some(match code {
            0..=9 => {
                let second = bytes.next()?;
                let column = u32::from(code) << 3 | u32::from(second >> 4 & 7);
                self.span(0, column + 1, column + 1 + u32::from(second & 15))
            }
            10..=12 => {
                self.line += i64::from(code - 10);
                let (column, end) = (bytes.next()?, bytes.next()?);
                self.span(0, u32::from(column) + 1, u32::from(end) + 1)
            }
            13 => {
                self.line += bytes.signed()?;
                let position = self.line_only();
                Position { end_line: position.line, ..position }
            }
            14 => {
                self.line += bytes.signed()?;
                let lines = bytes.unsigned()?;
                // Here the columns are stored plus 1 already, 0 for none.
                let (column, end) = (bytes.unsigned()?, bytes.unsigned()?);
                self.span(lines, column, end)
            }
            _ => Position::default(),
        })
    }

    fn line_only(&self) -> Position {
        Position { line: u32::try_from(self.line).unwrap_or(0), ..Position::default() }
    }

    fn span(&self, lines: u32, column: u32, end_column: u32) -> Position {
        let Position { line, .. } = self.line_only();
        Position { line, end_line: line.saturating_add(lines), column, end_column }
    }

    /// Adds a row, or replaces one that covers no instruction, or extends an equal one.
    fn push(&mut self, position: Position) {
        if self.rows.last().is_some_and(|(start, _)| *start == self.offset) {
            self.rows.pop();
        }
        if self.rows.last().is_none_or(|(_, last)| *last != position) {
            self.rows.push((self.offset, position));
        }
    }
}

/// Bytes with the 6-bit variable-length integers of the location table.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn unsigned(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in (0..32).step_by(6) {
            let byte = self.next()?;
            value |= u32::from(byte & 63).checked_shl(shift)?;
            if byte & 64 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = i64::from(self.unsigned()?);
        Some(if value & 1 == 1 { -(value >> 1) } else { value >> 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32) -> Position {
        Position { line, ..Position::default() }
    }

    #[test]
    fn lnotab_goes_back_and_skips() {
        // 300 bytes on need two pairs; a line delta of -3 is a byte of 253.
        let table = LineTable::decode(LineFormat::Lnotab, &[4, 2, 255, 0, 45, 253], 10);
        assert_eq!([0, 3, 4, 303, 304, 9999].map(|offset| table.at(offset)), [10, 10, 12, 12, 9, 9].map(at));
    }

    #[test]
    fn line_table_has_instructions_without_line() {
        let table = LineTable::decode(LineFormat::LineTable, &[2, 1, 4, 128, 2, 255], 10);
        assert_eq!([0, 2, 5, 6, 8].map(|offset| table.at(offset)), [11, 0, 0, 10, 0].map(at));
        assert_eq!(table.first_with_line(), Some(0));
    }

    #[test]
    fn locations_of_every_form() {
        let table = [
            0x80 | 15 << 3, // no location
            0x80 | 2 << 3 | 1,
            0x35, // short: columns 19 to 24, two units
            0x80 | 11 << 3,
            4,
            9, // next line, columns 4 to 9
            0x80 | 13 << 3,
            3, // one line back, no columns
            0x80 | 14 << 3,
            0x50,
            0x02,
            2,
            0,
            0x4a,
            1, // long: 72 lines on, two lines high, to column 73
        ];
        let lines = LineTable::decode(LineFormat::Locations, &table, 100);
        let span = |line, end_line, column, end_column| Position { line, end_line, column, end_column };
        assert_eq!(lines.at(0), Position::default());
        assert_eq!(lines.first_with_line(), Some(2));
        assert_eq!([lines.at(2), lines.at(5)], [span(100, 100, 20, 25); 2]);
        assert_eq!(lines.at(6), span(101, 101, 5, 10));
        assert_eq!(lines.at(8), span(100, 100, 0, 0));
        assert_eq!(lines.at(10), span(172, 174, 0, 74));
        assert_eq!(lines.at(12), Position::default());
    }

    #[test]
    fn a_cut_table_ends_where_it_is_cut() {
        let lines = LineTable::decode(LineFormat::Locations, &[0x80 | 14 << 3, 0x7f, 0x7f], 5);
        assert_eq!(lines.at(0), Position::default());
        assert_eq!(LineTable::decode(LineFormat::LineTable, &[], 5).at(0), Position::default());
    }
}
