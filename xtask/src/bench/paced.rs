//! Creates by clients that each keep to a pace, whatever the server does.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use serde_json::json;
use ureq::Agent;

use super::report::time;
use super::sample::quantile;

/// What came of it.
pub struct Paced {
    seconds: f64,
    /// Seconds that each success took from when it was due.
    made: Vec<f64>,
    /// Answers of 429 that said when to come again.
    throttled: usize,
}

/// Has `clients` create connections of 1 KiB for `time`, each one every `interval`, or as soon as it was answered where
/// that is nought. `prefix` tells one such load from another.
///
/// # Errors
/// Where an answer was neither 200 nor 429 with `Retry-After`, or a connection broke.
pub fn create(url: &str, prefix: &str, clients: usize, interval: Duration, time: Duration) -> anyhow::Result<Paced> {
    let started = Instant::now();
    let secret = "x".repeat(1024 - json!({"secret": ""}).to_string().len());
    let client = |number: usize| -> anyhow::Result<(Vec<f64>, usize)> {
        let agent: Agent = Agent::config_builder()
            .http_status_as_error(false)
            // Where clients do not get their turn for seconds, the runtime would close connections that were kept.
            .max_idle_connections(0)
            .build()
            .into();
        let (mut made, mut throttled) = (Vec::new(), 0);
        // They do not all come at once.
        let mut due = started + interval * u32::try_from(number)? / u32::try_from(clients)?;
        for round in 0.. {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if started.elapsed() >= time {
                break;
            }
            let body =
                json!({"name": format!("{prefix}-{number}-{round}"), "type": "KAFKA", "details": {"secret": secret}});
            let mut answer = agent
                .post(format!("{url}/v1/api/connections/create"))
                .content_type("application/json")
                .send(body.to_string())?;
            let took = due.elapsed().as_secs_f64();
            let text = answer.body_mut().read_to_string()?;
            match answer.status().as_u16() {
                200 => made.push(took),
                429 => {
                    ensure!(
                        answer.headers().contains_key("retry-after"),
                        "429 does not say when to come again"
                    );
                    throttled += 1;
                }
                status => return Err(anyhow!("create: {status} {text}")),
            }
            due = if interval.is_zero() {
                Instant::now()
            } else {
                due + interval
            };
        }
        Ok((made, throttled))
    };
    let mut paced = Paced {
        seconds: 0.0,
        made: Vec::new(),
        throttled: 0,
    };
    thread::scope(|scope| -> anyhow::Result<()> {
        let all: Vec<_> = (0..clients).map(|number| scope.spawn(move || client(number))).collect();
        for one in all {
            let (made, throttled) = one.join().map_err(|_| anyhow!("a client panicked"))??;
            paced.made.extend(made);
            paced.throttled += throttled;
        }
        Ok(())
    })?;
    paced.seconds = started.elapsed().as_secs_f64();
    Ok(paced)
}

impl Paced {
    /// Answers of 429 that said when to come again.
    pub fn throttled(&self) -> usize {
        self.throttled
    }

    /// Cells of a table: successes a second, their p50 and p99, and the share of all that was throttled.
    pub fn row(&self) -> String {
        let mut made = self.made.clone();
        let all = self.made.len() + self.throttled;
        format!(
            "{:.0} | {} | {} | {:.0} %",
            self.made.len() as f64 / self.seconds,
            time(quantile(&mut made, 0.5)),
            time(quantile(&mut made, 0.99)),
            100.0 * self.throttled as f64 / all.max(1) as f64,
        )
    }
}
