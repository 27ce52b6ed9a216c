//! Sizes, absolute or by rule: `4 GiB`, `2 x memory`, `min(2 x memory, 20 % of pool)`.
//!
//! ```text
//! rule   := size | factor | share | ("min" | "max") "(" rule { "," rule } ")"
//! size   := NUMBER UNIT                            K, M, G, T, with B or iB behind it if one likes
//! factor := [ NUMBER ("x" | "×" | "*") ] "memory"
//! share  := NUMBER "%" "of" ("memory" | "pool")
//! ```

use std::fmt;
use sysconfig_platform::storage::{format_size, parse_size};

/// Rules within rules: more is a mistake.
const DEEPEST: usize = 8;
/// The unit of sizes that come from a rule; what is smaller is rounded away.
const STEP: u64 = 1024 * 1024;

/// A size by rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// So many bytes.
    Bytes(u64),
    /// A multiple of the installed memory, in thousandths.
    Memory(u64),
    /// A share of the pool in which the volume lies, in thousandths.
    Pool(u64),
    /// The least of some.
    Min(Vec<Rule>),
    /// The greatest of some.
    Max(Vec<Rule>),
}

/// What rules refer to, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Measures {
    /// Installed memory.
    pub memory: u64,
    /// The size of the pool, where there is one.
    pub pool: Option<u64>,
}

impl Rule {
    /// Reads a rule; the error says what is wrong with it.
    ///
    /// # Errors
    /// A lowercase fragment for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (rule, rest) = parse_rule(text.trim(), DEEPEST)?;
        match rest.trim() {
            "" => Ok(rule),
            rest => Err(format!("{rest:?} is too much")),
        }
    }

    /// Whether it refers to a pool.
    #[must_use]
    pub fn uses_pool(&self) -> bool {
        match self {
            Self::Pool(_) => true,
            Self::Bytes(_) | Self::Memory(_) => false,
            Self::Min(rules) | Self::Max(rules) => rules.iter().any(Self::uses_pool),
        }
    }

    /// Whether it refers to the memory.
    #[must_use]
    pub fn uses_memory(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Bytes(_) | Self::Pool(_) => false,
            Self::Min(rules) | Self::Max(rules) => rules.iter().any(Self::uses_memory),
        }
    }

    /// The size in bytes, a whole number of MiB; none when what it refers to is not known.
    #[must_use]
    pub fn bytes(&self, measures: Measures) -> Option<u64> {
        self.exact(measures).map(|bytes| bytes / STEP * STEP)
    }

    fn exact(&self, measures: Measures) -> Option<u64> {
        let share = |of: u64, thousandths: u64| {
            u64::try_from(u128::from(of) * u128::from(thousandths) / 1000).unwrap_or(u64::MAX)
        };
        match self {
            Self::Bytes(bytes) => Some(*bytes),
            Self::Memory(thousandths) => Some(share(measures.memory, *thousandths)),
            Self::Pool(thousandths) => Some(share(measures.pool?, *thousandths)),
            Self::Min(rules) => {
                let sizes: Option<Vec<u64>> = rules.iter().map(|rule| rule.exact(measures)).collect();
                sizes?.into_iter().min()
            }
            Self::Max(rules) => {
                let sizes: Option<Vec<u64>> = rules.iter().map(|rule| rule.exact(measures)).collect();
                sizes?.into_iter().max()
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |rules: &[Self]| rules.iter().map(Self::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Bytes(bytes) => f.write_str(&format_size(*bytes)),
            Self::Memory(thousandths) => write!(f, "{} x memory", decimal(*thousandths, 1000)),
            Self::Pool(thousandths) => write!(f, "{} % of pool", decimal(*thousandths, 10)),
            Self::Min(rules) => write!(f, "min({})", list(rules)),
            Self::Max(rules) => write!(f, "max({})", list(rules)),
        }
    }
}

/// `value / unit` with as many decimal places as it takes.
fn decimal(value: u64, unit: u64) -> String {
    let (whole, rest) = (value / unit, value % unit);
    let width = unit.ilog10() as usize;
    let fraction = format!("{rest:0width$}");
    match fraction.trim_end_matches('0') {
        "" => whole.to_string(),
        fraction => format!("{whole}.{fraction}"),
    }
}

fn parse_rule(text: &str, depth: usize) -> Result<(Rule, &str), String> {
    let text = text.trim_start();
    for (word, make) in [("min", Rule::Min as fn(Vec<Rule>) -> Rule), ("max", Rule::Max)] {
        if let Some(rest) = text.strip_prefix(word).and_then(|rest| rest.trim_start().strip_prefix('(')) {
            let (rules, rest) = parse_list(rest, depth)?;
            return Ok((make(rules), rest));
        }
    }
    // Everything else ends where a list goes on or ends.
    let end = text.find([',', ')']).unwrap_or(text.len());
    let (term, rest) = text.split_at(end);
    Ok((parse_term(term.trim())?, rest))
}

fn parse_list(mut text: &str, depth: usize) -> Result<(Vec<Rule>, &str), String> {
    let depth = depth.checked_sub(1).ok_or("the rules are too deep in each other")?;
    let mut rules = Vec::new();
    loop {
        let (rule, rest) = parse_rule(text, depth)?;
        rules.push(rule);
        let rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix(')') {
            return Ok((rules, rest));
        }
        text = rest.strip_prefix(',').ok_or("a closing parenthesis is missing")?;
    }
}

fn parse_term(term: &str) -> Result<Rule, String> {
    let unreadable = || format!("{term:?} is no size");
    if term == "memory" {
        return Ok(Rule::Memory(1000));
    }
    if let Some(factor) = term.strip_suffix("memory").map(str::trim_end) {
        if let Some(number) = ["x", "×", "*"].iter().find_map(|sign| factor.strip_suffix(sign)) {
            return thousandths(number, 1000).map(Rule::Memory).ok_or_else(unreadable);
        }
    }
    if let Some((number, of)) = term.split_once('%') {
        let number = thousandths(number, 10).ok_or_else(unreadable)?;
        if number > 1000 {
            return Err(format!("{term:?} is more than there is"));
        }
        return match of.split_whitespace().collect::<Vec<_>>()[..] {
            ["of", "memory"] => Ok(Rule::Memory(number)),
            ["of", "pool"] => Ok(Rule::Pool(number)),
            _ => Err(unreadable()),
        };
    }
    if term.bytes().all(|byte| byte.is_ascii_digit()) && !term.is_empty() {
        return Err(format!("{term:?} has no unit"));
    }
    parse_size(term).map(Rule::Bytes).ok_or_else(unreadable)
}

/// A decimal number in thousandths, when 1 stands for `unit` of them.
fn thousandths(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.trim().split_once('.').unwrap_or((number.trim(), "0"));
    let places = u32::try_from(fraction.len()).ok()?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || places > 9 {
        return None;
    }
    let part = fraction.parse::<u64>().ok()?.checked_mul(unit)? / 10_u64.pow(places);
    // More than a million times the memory is no size but a slip, and would not fit.
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(part).filter(|all| *all <= 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;
    const MEASURES: Measures = Measures { memory: 4 * GIB, pool: Some(10 * GIB) };

    #[test]
    fn rules_and_what_comes_of_them() {
        for (text, bytes) in [
            ("4 GiB", 4 * GIB),
            ("512M", GIB / 2),
            ("1.5g", GIB * 3 / 2),
            ("memory", 4 * GIB),
            ("2 x memory", 8 * GIB),
            ("2×memory", 8 * GIB),
            ("0.5 * memory", 2 * GIB),
            ("50 % of memory", 2 * GIB),
            ("20 % of pool", 2 * GIB),
            ("min(2 x memory, 20 % of pool)", 2 * GIB),
            ("max(1 GiB, min(memory, 3 GiB))", 3 * GIB),
            ("12.5% of pool", 1280 << 20),
            ("1025 KiB", 1 << 20),
        ] {
            assert_eq!(Rule::parse(text).unwrap().bytes(MEASURES), Some(bytes), "{text}");
        }
        let pool = Rule::parse("min(1 GiB, 20 % of pool)").unwrap();
        assert_eq!(pool.bytes(Measures { pool: None, ..MEASURES }), None, "a pool that is not there has no size");
    }

    #[test]
    fn refusals() {
        for (text, part) in [
            ("", "no size"),
            ("4096", "no unit"),
            ("big", "no size"),
            ("-1 GiB", "no size"),
            ("2 x", "no size"),
            ("2 x swap", "no size"),
            ("120 % of pool", "more than there is"),
            ("20 %", "no size"),
            ("20 % of tank", "no size"),
            ("min(1 GiB", "parenthesis"),
            ("min()", "no size"),
            ("min(1 GiB) x", "too much"),
            ("1 GiB, 2 GiB", "too much"),
            ("9999999999 x memory", "no size"),
            (&format!("{}memory{}", "min(".repeat(50), ")".repeat(50)), "too deep"),
        ] {
            let error = Rule::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    fn rule() -> impl Strategy<Value = Rule> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(|bytes| Rule::Bytes(bytes >> 8)),
            (0..1_000_000_u64).prop_map(Rule::Memory),
            (0..=1000_u64).prop_map(Rule::Pool),
        ];
        leaf.prop_recursive(4, 20, 4, |inner| {
            let list = proptest::collection::vec(inner, 1..4);
            prop_oneof![list.clone().prop_map(Rule::Min), list.prop_map(Rule::Max)]
        })
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(rule in rule()) {
            let shown = rule.to_string();
            // A plain number of bytes is shown with its unit.
            prop_assert_eq!(Rule::parse(&shown), Ok(rule), "{}", shown);
        }
    }

    #[test]
    fn fuzz_rules() {
        test_judge::fuzz(3000, |random| {
            let mut bytes = b"min(2 x memory, 20 % of pool, max(1.5 GiB, memory))".to_vec();
            random.damage(&mut bytes);
            if let Ok(rule) = Rule::parse(&String::from_utf8_lossy(&bytes)) {
                assert_eq!(Rule::parse(&rule.to_string()), Ok(rule));
            }
        });
    }
}
