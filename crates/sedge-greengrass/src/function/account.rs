use std::fs;
use std::path::Path;

/// User and group that functions of V1 run as without another word: `ggc_user` and `ggc_group`,
/// where this device has them.
pub(crate) fn default_account() -> Option<(u32, u32)> {
    let uid = number(Path::new("/etc/passwd"), "ggc_user")?;
    let gid = number(Path::new("/etc/group"), "ggc_group")?;
    Some((uid, gid))
}

/// The number of a group that is named by its name or number.
pub(crate) fn group_number(group: &str) -> Option<u32> {
    group.parse().ok().or_else(|| number(Path::new("/etc/group"), group))
}

/// The third field of a line of `/etc/passwd` or `/etc/group` (passwd(5), group(5)).
fn number(file: &Path, name: &str) -> Option<u32> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name_and_number() {
        assert_eq!(number(Path::new("/etc/passwd"), "root"), Some(0));
        assert_eq!(group_number("root"), Some(0));
        assert_eq!(group_number("998"), Some(998));
        assert_eq!(group_number("no-such-group"), None);
    }
}
