//! The grammar of an elasticity policy's expression: `CPU > 80 && MEMORY > 1.5`.
//!
//! Specification: OpenNebula's `src/oca/ruby/opennebula/flow/grammar.treetop`. It is accepted or
//! not; what it means is OneFlow's business.

/// Longer ones are refused, which bounds how deep brackets may go.
const MAX_BYTES: usize = 1024;

/// Where an expression stops being one, in bytes from its beginning.
pub(crate) fn failure(expression: &str) -> Option<usize> {
    if expression.len() > MAX_BYTES {
        return Some(MAX_BYTES);
    }
    let mut reader = Reader { text: expression, at: 0 };
    let whole = reader.expression() && reader.at == expression.len();
    (!whole).then_some(reader.at)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn expression(&mut self) -> bool {
        self.space();
        if !self.condition() {
            return false;
        }
        self.space();
        if self.takes_one_of(&["&&", "&", "||", "|"]) {
            return self.expression();
        }
        true
    }

    fn condition(&mut self) -> bool {
        if self.takes_one_of(&["!"]) {
            return self.expression();
        }
        if self.takes_one_of(&["("]) {
            return self.expression() && self.takes_one_of(&[")"]);
        }
        if !self.operand() {
            return false;
        }
        self.space();
        let compared = self.takes_one_of(&["==", "=", "!=", "<>", ">=", ">", "<=", "<"]);
        self.space();
        compared && self.operand()
    }

    fn operand(&mut self) -> bool {
        let rest = self.rest();
        let unsigned = rest.strip_prefix('-').unwrap_or(rest);
        let digits = digits(unsigned);
        if digits > 0 {
            let sign = rest.len() - unsigned.len();
            let part = unsigned[digits..].strip_prefix('.').map_or(0, self::digits);
            self.at += sign + digits + if part > 0 { 1 + part } else { 0 };
            return true;
        }
        let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''));
        let name = &rest[quote.map_or(0, char::len_utf8)..];
        let length =
            name.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        let begins = name.starts_with(|first: char| first.is_ascii_alphabetic());
        let ends = quote.is_none_or(|quote| name[length..].starts_with(quote));
        if begins && ends {
            self.at += length + 2 * quote.map_or(0, char::len_utf8);
        }
        begins && ends
    }

    fn takes_one_of(&mut self, words: &[&str]) -> bool {
        let word = words.iter().find(|word| self.rest().starts_with(**word));
        self.at += word.map_or(0, |word| word.len());
        word.is_some()
    }

    fn space(&mut self) {
        self.at += self.rest().bytes().take_while(|byte| *byte == b' ').count();
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_oneflow_takes_is_taken() {
        for expression in [
            "CPU > 80",
            "CPU>80",
            " CPU >= 80.5 ",
            "(CPU > 1 && MEMORY < 2) | !(A = -1)",
            "'CPU' <> \"B\"",
            "!CPU > 1 && X == 2",
            "1 < 2",
        ] {
            assert_eq!(failure(expression), None, "{expression}");
        }
    }

    #[test]
    fn what_is_none_is_refused_where_it_stops() {
        for (expression, at) in [
            ("", 0),
            ("CPU", 3),
            ("CPU >", 5),
            ("CPU > 80 &&", 11),
            ("CPU => 80", 5),
            ("CPU > 80%", 8),
            ("(CPU > 1", 8),
            ("CPU\t> 1", 3),
            ("CPU > 1.", 7),
            ("'CPU\" > 1", 0),
            ("CPU > \u{e4}", 6),
            ("CPU > 1 and B > 2", 8),
        ] {
            assert_eq!(failure(expression), Some(at), "{expression}");
        }
        assert_eq!(failure(&"(".repeat(1 << 20)), Some(MAX_BYTES));
    }
}
