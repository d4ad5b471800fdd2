//! A service's process that is killed at any moment of a request.

use std::time::{Duration, Instant};

use crate::home::{Home, is_alive, kill, until};
use crate::http::Ask;
use crate::random::Random;

/// What the service allows a request, and what its answer may be late on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(10);
const SLACK: Duration = Duration::from_secs(2);

#[test]
fn only_the_request_it_had_is_lost() {
    let mut random = Random::begin();
    let rounds = crate::number("SEDGE_KILL_ROUNDS", 30) / 2;
    let keys = "timeout_ms = 10000\ninstances = 1";
    let home = Home::new(&[("victim", keys), ("other", keys)]);
    let core = home.serve();
    core.wait_for("victim", "ready");
    core.wait_for("other", "ready");
    let mut cut_off = 0;
    let answered = core.beside("other", || {
        for round in 0..rounds {
            if round % 3 == 2 {
                // Enough ends in a row would have it given up, as they should.
                home.does(&["restart", "victim"]);
            }
            let victim = core.wait_for("victim", "ready")["backend"]["pid"].as_u64().unwrap();
            let ask = Ask { x: 1.0, size: 300, bulk: 1 };
            let mut client = core.client();
            let begun = Instant::now();
            let asked = std::thread::spawn(move || client.infer("victim", ask));
            random.pause(Duration::from_millis(150));
            kill("KILL", victim as u32);
            let answer = asked.join().unwrap();
            assert!(begun.elapsed() < TIMEOUT + SLACK, "{answer:?} after {:?}", begun.elapsed());
            match answer {
                Ok(answer) => assert_eq!(answer.y, 2.0),
                Err(refusal) => {
                    assert_eq!(refusal.status, 500, "{refusal}");
                    assert!(refusal.text.contains("SIGKILL"), "{refusal}");
                    cut_off += 1;
                }
            }
            until("the process is gone", || !is_alive(victim as u32));
            let next = core.client().infer("victim", Ask::quick(4.0));
            let next = next.unwrap_or_else(|refusal| panic!("round {round}, the next: {refusal}"));
            assert_eq!(next.y, 5.0);
        }
    });
    println!(
        "{rounds} kills of a worker, {cut_off} of them within a request; {answered} requests to \
         the other service meanwhile, all answered"
    );
    assert!(cut_off > 0);
    assert_eq!(core.status("other")["backend"]["restarts"], 0);
    assert_eq!(core.status("other")["requests"]["errors"], 0);
}

#[test]
fn what_waits_during_a_restart_is_answered() {
    let home = Home::new(&[("victim", "timeout_ms = 30000\ninstances = 1\nqueue = 64")]);
    let core = home.serve();
    core.wait_for("victim", "ready");
    for _ in 0..4 {
        let pid = core.worker("victim").unwrap();
        std::thread::scope(|scope| {
            let running =
                scope.spawn(|| core.client().infer("victim", Ask { x: 0.0, size: 400, bulk: 1 }));
            core.wait_until("victim", |status| status["running"] == 1);
            let ask = |x: u8| core.client().infer("victim", Ask::quick(f32::from(x)));
            let waiting: Vec<_> = (0..32).map(|x| (x, scope.spawn(move || ask(x)))).collect();
            core.wait_until("victim", |status| status["waiting"] == 32 || status["running"] == 0);
            kill("KILL", pid);
            let _ = running.join().unwrap();
            for (x, waited) in waiting {
                let answer = waited.join().unwrap();
                let answer = answer.unwrap_or_else(|refusal| panic!("it only waited: {refusal}"));
                assert_eq!(answer.y, f32::from(x) + 1.0);
            }
        });
    }
}
