//! Rust source as the rules of the house see it: without comments and texts, as tokens, with the paths it names.

/// A token: an identifier (a raw one without its `r#`), a number, `::` or one other character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its text.
    pub text: String,
    /// From 1.
    pub line: usize,
    /// Whether it is in a module or on an item that is there for unit tests alone.
    pub in_tests: bool,
    /// How many modules are open around it within the file.
    pub depth: usize,
}

/// The tokens of a file.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let code = code_of(source);
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (text, after) = rest.split_at(length);
            tokens.push(Token {
                text: text.to_owned(),
                line: index + 1,
                in_tests: false,
                depth: 0,
            });
            rest = after.trim_start();
        }
    }
    mark_modules(&mut tokens);
    tokens
}

/// The same text with comments and the insides of literals blank; lines stay lines.
fn code_of(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let starts = |index: usize, text: &str| text.chars().enumerate().all(|(n, c)| at(index + n) == c);
    let mut code = String::with_capacity(source.len());
    let mut index = 0;
    let mut before = '\0';
    while index < chars.len() {
        let end = if starts(index, "//") {
            (index..chars.len()).find(|n| at(*n) == '\n').unwrap_or(chars.len())
        } else if starts(index, "/*") {
            end_of_comment(&chars, index)
        } else if let Some(hashes) = raw_text(&chars, index, before) {
            let close: String = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let open = (index..chars.len()).find(|n| at(*n) == '"').unwrap_or(chars.len());
            let end = (open + 1..chars.len()).find(|n| starts(*n, &close));
            end.map_or(chars.len(), |n| n + 1 + hashes)
        } else if at(index) == '"' {
            end_of_literal(&chars, index, '"')
        } else if at(index) == '\'' && (at(index + 1) == '\\' || at(index + 2) == '\'') {
            end_of_literal(&chars, index, '\'')
        } else {
            before = at(index);
            code.push(before);
            index += 1;
            continue;
        };
        code.extend((index..end).map(|n| if at(n) == '\n' { '\n' } else { ' ' }));
        before = ' ';
        index = end;
    }
    code
}

/// How many `#` a raw text that begins here has.
fn raw_text(chars: &[char], index: usize, before: char) -> Option<usize> {
    if before.is_alphanumeric() || before == '_' {
        return None;
    }
    let mut rest = chars
        .get(index..)?
        .iter()
        .copied()
        .skip_while(|c| matches!(c, 'b' | 'c'))
        .peekable();
    (rest.next()? == 'r').then_some(())?;
    let mut hashes = 0;
    while rest.next_if_eq(&'#').is_some() {
        hashes += 1;
    }
    (rest.next()? == '"').then_some(hashes)
}

fn end_of_comment(chars: &[char], start: usize) -> usize {
    let mut open = 0;
    let mut index = start;
    while index < chars.len() {
        match (chars[index], chars.get(index + 1)) {
            ('/', Some('*')) => (open, index) = (open + 1, index + 2),
            ('*', Some('/')) => (open, index) = (open - 1, index + 2),
            _ => index += 1,
        }
        if open == 0 {
            break;
        }
    }
    index.min(chars.len())
}

fn end_of_literal(chars: &[char], start: usize, quote: char) -> usize {
    let mut index = start + 1;
    while index < chars.len() && chars[index] != quote {
        index += if chars[index] == '\\' { 2 } else { 1 };
    }
    (index + 1).min(chars.len())
}

/// Says of each token in how many inline modules it is, and whether it is under `#[cfg(test)]`.
fn mark_modules(tokens: &mut [Token]) {
    let texts: Vec<String> = tokens.iter().map(|token| token.text.clone()).collect();
    let is = |index: usize, expected: &[&str]| {
        (expected.iter().enumerate()).all(|(n, text)| texts.get(index + n).is_some_and(|found| found == text))
    };
    // What each open brace is: of a module, of something for tests.
    let mut open: Vec<(bool, bool)> = Vec::new();
    let mut for_tests = false;
    for index in 0..tokens.len() {
        if is(index, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            for_tests = true;
        }
        tokens[index].depth = open.iter().filter(|brace| brace.0).count();
        tokens[index].in_tests = for_tests || open.iter().any(|brace| brace.1);
        match texts[index].as_str() {
            "{" => {
                let is_module = index >= 2 && texts[index - 2] == "mod";
                open.push((is_module, std::mem::take(&mut for_tests)));
            }
            "}" => drop(open.pop()),
            ";" => for_tests = false,
            _ => {}
        }
    }
}

/// What follows each `crate::`: the room, the line, and whether tests say so. `{a, b::c}` are two.
/// `depth` is how many modules the file is below the crate's root; a `super` that climbs there counts as `crate`.
pub fn rooms_named(tokens: &[Token], depth: usize) -> Vec<Token> {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let start = index;
        index += 1;
        let follows = match text(start) {
            "crate" | "accolade" if text(start + 1) == "::" => start + 2,
            "super" if start == 0 || text(start - 1) != "::" => {
                let mut supers = 0;
                let mut at = start;
                while text(at) == "super" && text(at + 1) == "::" {
                    supers += 1;
                    at += 2;
                }
                if supers < depth + tokens[start].depth {
                    continue;
                }
                at
            }
            _ => continue,
        };
        if text(follows) != "{" {
            found.extend(tokens.get(follows).cloned());
            continue;
        }
        let mut nested = 0;
        for at in follows..tokens.len() {
            match text(at) {
                "{" => nested += 1,
                "}" => nested -= 1,
                _ => {}
            }
            if nested == 0 {
                break;
            }
            if nested == 1 && matches!(text(at), "{" | ",") && !matches!(text(at + 1), "}" | "") {
                found.push(tokens[at + 1].clone());
            }
        }
    }
    found
}
