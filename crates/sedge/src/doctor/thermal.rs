//! What slows the processor down: governors, heat, weak power supplies.

use serde_json::json;

use super::{Context, Finding, Host, State};

const AREA: &str = "cpu";

/// From here on most boards slow down, when they do not say themselves.
const HOT_CELSIUS: f64 = 80.0;

/// Bits of the Raspberry Pi's `get_throttled`, now and (16 bits higher) since it was started.
/// Source: raspberrypi.com, "vcgencmd get_throttled".
const THROTTLED: [(u64, &str); 4] = [
    (1, "too little voltage"),
    (1 << 1, "frequency capped"),
    (1 << 2, "throttled"),
    (1 << 3, "soft temperature limit"),
];

pub(super) fn probe(context: &Context) -> Vec<Finding> {
    let mut findings = vec![governor(&context.host), temperature(&context.host)];
    findings.extend(power(&context.host));
    findings
}

fn governor(host: &Host) -> Finding {
    const CPUS: &str = "/sys/devices/system/cpu";
    let mut governors: Vec<String> = host
        .names(CPUS, "cpu")
        .iter()
        .filter_map(|cpu| host.word(&format!("{CPUS}/{cpu}/cpufreq/scaling_governor")))
        .collect();
    governors.sort();
    governors.dedup();
    if governors.is_empty() {
        return Finding::ok(AREA, "governor", "not visible");
    }
    let value = governors.join(", ");
    let driver = host.word(&format!("{CPUS}/cpu0/cpufreq/scaling_driver")).unwrap_or_default();
    let data = json!({"governors": governors, "driver": driver});
    // These two drivers decide for themselves; their powersave is what others call ondemand.
    let own = driver == "intel_pstate" || driver.starts_with("amd-pstate");
    if governors.iter().any(|name| name == "powersave") && !own {
        let hint = "powersave keeps the lowest frequency: echo performance | sudo tee \
                    /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor";
        return Finding::bad(State::Warning, AREA, "governor", value, hint).with(data);
    }
    Finding::ok(AREA, "governor", value).with(data)
}

fn temperature(host: &Host) -> Finding {
    const THERMAL: &str = "/sys/class/thermal";
    let mut hottest: Option<(f64, f64)> = None;
    for zone in host.names(THERMAL, "thermal_zone") {
        let Some(now) = host.number(&format!("{THERMAL}/{zone}/temp")) else { continue };
        let limit = |trip: &String| {
            let trip = trip.strip_suffix("_type")?;
            let kind = host.word(&format!("{THERMAL}/{zone}/{trip}_type"))?;
            let passive = kind == "passive" || kind == "hot";
            let limit = host.number(&format!("{THERMAL}/{zone}/{trip}_temp"))?;
            (passive && limit > 0).then_some(limit as f64 / 1000.0)
        };
        let trips = host.names(&format!("{THERMAL}/{zone}"), "trip_point_");
        let limit = trips.iter().filter_map(limit).min_by(f64::total_cmp).unwrap_or(HOT_CELSIUS);
        let now = now as f64 / 1000.0;
        // The one that is nearest to its own limit matters.
        if hottest.is_none_or(|(other, bound)| now - limit > other - bound) {
            hottest = Some((now, limit));
        }
    }
    let Some((now, limit)) = hottest else {
        return Finding::ok(AREA, "temperature", "not visible");
    };
    let value = format!("{now:.0} °C, slows down from {limit:.0} °C");
    let data = json!({"celsius": now, "limit_celsius": limit});
    if now >= limit {
        let hint = "the processor is slowing itself down: cool it, or give inference fewer threads \
                    (--threads)";
        return Finding::bad(State::Warning, AREA, "temperature", value, hint).with(data);
    }
    Finding::ok(AREA, "temperature", value).with(data)
}

/// What the firmware of a Raspberry Pi says; nothing elsewhere.
fn power(host: &Host) -> Option<Finding> {
    let text = host.word("/sys/devices/platform/soc/soc:firmware/get_throttled")?;
    let bits = u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()?;
    let said = |shift: u32| {
        let set = THROTTLED.iter().filter(|(bit, _)| bits >> shift & bit != 0);
        set.map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
    };
    let (now, before) = (said(0), said(16));
    let data = json!({"get_throttled": bits});
    let hint = "use the board's own power supply and a short cable, and cool it";
    let finding = match (now.as_str(), before.as_str()) {
        ("", "") => Finding::ok(AREA, "power", "steady"),
        ("", before) => {
            let value = format!("since it was started: {before}");
            Finding::bad(State::Note, AREA, "power", value, hint)
        }
        (now, _) => Finding::bad(State::Warning, AREA, "power", format!("now: {now}"), hint),
    };
    Some(finding.with(data))
}

#[cfg(test)]
mod tests {
    use super::super::host::tests::machine;
    use super::*;

    #[test]
    fn powersave_is_slow_unless_the_driver_decides() {
        let at = |name: &str| format!("/sys/devices/system/cpu/cpu0/cpufreq/{name}");
        for (governor_name, driver, state) in [
            ("powersave", "cpufreq-dt", State::Warning),
            ("powersave", "intel_pstate", State::Ok),
            ("powersave", "amd-pstate-epp", State::Ok),
            ("schedutil", "cpufreq-dt", State::Ok),
        ] {
            let (_kept, host) = machine(&[
                (&at("scaling_governor"), &format!("{governor_name}\n")),
                (&at("scaling_driver"), driver),
            ]);
            assert_eq!(governor(&host).state, state, "{governor_name} {driver}");
        }
        assert_eq!(governor(&machine(&[]).1).value, "not visible");
    }

    #[test]
    fn the_zone_nearest_to_its_limit_counts() {
        let zone =
            |number: u8, file: &str| format!("/sys/class/thermal/thermal_zone{number}/{file}");
        let (_kept, host) = machine(&[
            (&zone(0, "temp"), "76000\n"),
            (&zone(1, "temp"), "72000\n"),
            (&zone(1, "trip_point_0_type"), "passive\n"),
            (&zone(1, "trip_point_0_temp"), "70000\n"),
            (&zone(1, "trip_point_1_type"), "critical\n"),
            (&zone(1, "trip_point_1_temp"), "60000\n"),
            (&zone(2, "temp"), "no number\n"),
        ]);
        let found = temperature(&host);
        assert_eq!(found.value, "72 °C, slows down from 70 °C");
        assert_eq!(found.state, State::Warning);
        assert_eq!(temperature(&machine(&[]).1).value, "not visible");
    }

    #[test]
    fn a_raspberry_says_when_it_is_throttled() {
        for (text, state, value) in [
            ("0\n", State::Ok, "steady"),
            ("50000\n", State::Note, "since it was started: too little voltage, throttled"),
            ("0x50005\n", State::Warning, "now: too little voltage, throttled"),
        ] {
            let path = "/sys/devices/platform/soc/soc:firmware/get_throttled";
            let (_kept, host) = machine(&[(path, text)]);
            let found = power(&host).unwrap();
            assert_eq!((found.state, found.value.as_str()), (state, value));
        }
        assert_eq!(power(&machine(&[]).1), None);
    }
}
