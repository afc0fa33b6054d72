//! `admin/adopt`: gives somebody what was stored while authentication was off, where each tenant is kept apart.

use crate::adoption::apart::{Apart, Begun, Decided, Part, Run};
use crate::adoption::{Adopted, NewOwner, Refusal};
use crate::api::Host;
use crate::audit::{Kind, Note};
use crate::identity::Authentication;
use crate::limits;
use crate::model::{Caller, Person, Tenant};
use crate::problem::Problem;
use crate::registry::{Registry, noted};
use crate::rotation::{Place, Step};
use crate::store::{Store, StoreError};
use crate::wire::{Fields, Json};

const NOT_APART: &str = "This server does not adopt when it is asked to: run `patchbay adopt` on what it stores.";
const NOT_LET: &str =
    "`tenant` must be the one that PATCHBAY_ADOPT_TENANT names: whoever deploys the server says so first.";
const STILL_OFF: &str = "Turn authentication on first: without it all that comes is `anonymous`'s again.";
const DECIDED: &str = "It is adopted already, and cannot be given up: run it again until it ends.";
const OVERTAKEN: &str = "Nothing was adopted: another run of it came between. Begin again, without a `cursor`.";

/// What a call of `admin/adopt` says.
pub(crate) struct Adopt {
    to: NewOwner,
    mode: Mode,
    cursor: Option<String>,
}

/// What is to become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Adopt,
    /// Nothing is kept.
    Rehearse,
    /// What is not decided is ended.
    GiveUp,
}

/// Reads a call of `admin/adopt`.
pub(crate) fn adopt_fields(body: &[u8]) -> Result<Adopt, Problem> {
    let fields = Fields::parse(body, &["tenant", "owner", "dry_run", "give_up", "cursor"])?;
    let mode = match (fields.flag("dry_run", false)?, fields.flag("give_up", false)?) {
        (false, false) => Mode::Adopt,
        (true, false) => Mode::Rehearse,
        (false, true) => Mode::GiveUp,
        (true, true) => return Err(Problem::bad("`give_up` must not be true with `dry_run`.")),
    };
    Ok(Adopt {
        to: NewOwner {
            tenant: fields.required("tenant", fields.text("tenant", Tenant::new)?)?,
            subject: fields.required("owner", fields.subject("owner")?)?,
        },
        mode,
        cursor: fields.any_text("cursor")?,
    })
}

/// How far an adoption is that goes on from call to call.
enum Stage {
    /// It has begun.
    Expect(Run),
    /// It copies, from this place on.
    Copy(Run, Option<Place>),
    /// All is copied.
    Decide(Run),
    /// It is decided, and what is left behind is taken away.
    Leave(Run),
}

impl Stage {
    /// As a cursor's text.
    fn to_text(&self) -> String {
        let (stage, Run { adoption, run }, place) = match self {
            Self::Expect(run) => ('e', run, ""),
            Self::Copy(run, after) => ('c', run, after.as_ref().map_or("", |place| &place.0)),
            Self::Decide(run) => ('d', run, ""),
            Self::Leave(run) => ('l', run, ""),
        };
        format!("{stage} {adoption} {run} {place}")
    }

    fn of_text(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let stage = words.next()?;
        let mut number = || words.next()?.parse().ok();
        let run = Run {
            adoption: number()?,
            run: number()?,
        };
        let place = Some(Place(words.next()?.to_owned())).filter(|place| !place.0.is_empty());
        match stage {
            "e" => Some(Self::Expect(run)),
            "c" => Some(Self::Copy(run, place)),
            "d" => Some(Self::Decide(run)),
            "l" => Some(Self::Leave(run)),
            _ => None,
        }
    }
}

impl<S: Store, H: Host> Registry<S, H> {
    /// `admin/adopt`: as many steps as there is time for. `allowed` is the tenant that may be given anything.
    pub(crate) async fn adopt(&self, body: &[u8], allowed: Option<&Tenant>, note: &mut Note) -> Result<Json, Problem> {
        let Adopt { to, mode, cursor } = adopt_fields(body)?;
        let adoption = Adoption {
            store: self.store.apart().ok_or_else(|| Problem::not_implemented(NOT_APART))?,
            from: to.previous().map_err(|refusal| refused(&refusal))?,
            to: &to,
            rehearsal: mode == Mode::Rehearse,
        };
        // What is given up is given to nobody.
        if allowed != Some(&to.tenant) && mode != Mode::GiveUp {
            return Err(Problem::forbidden(NOT_LET));
        }
        let is_off = matches!(self.config.authentication, Authentication::Off(_));
        if is_off && mode == Mode::Adopt {
            return Err(Problem::conflict(STILL_OFF));
        }
        // Unlike what an operator does otherwise, it is about one tenant.
        note.add(|record| {
            record.tenant = Some(to.tenant.clone());
            record.member = Some(Person::Subject(to.subject.clone()));
            if mode == Mode::Rehearse {
                record.kind = Kind::Look;
            }
        });

        let walk = adoption.walk();
        let mut at = match self.walked(cursor, &walk, Stage::of_text)? {
            Some(stage) => At::on(stage),
            // It ends with this. So what is repeated for want of an answer has a cursor, and is told how it ended.
            None => match adoption.begin(u128::from_be_bytes(self.random()), mode).await? {
                Some(run) => return Ok(self.told(&walk, &At::on(Stage::Expect(run)))),
                None => return Ok(self.told(&walk, &At::default())),
            },
        };
        let end = self.end();
        for _ in 0..limits::WALK_STEPS {
            let Some(stage) = at.next.take_if(|_| self.host.now() < end) else {
                break;
            };
            at = self.step(&adoption, stage, at.adopted).await?;
            if let Some(adopted) = at.adopted.filter(|_| mode == Mode::Adopt) {
                noted(note, usize::try_from(adopted.connections).unwrap_or(usize::MAX));
            }
        }
        Ok(self.told(&walk, &at))
    }

    /// What a call answers.
    fn told(&self, walk: &str, at: &At) -> Json {
        let mut json = Json::default();
        json.literal("{\"adopted\":");
        match at.adopted {
            None => _ = json.literal("null"),
            Some(adopted) => {
                json.literal("{\"connections\":").plain(adopted.connections);
                json.literal(",\"workspaces\":").plain(adopted.workspaces);
                json.literal(",\"left_out\":").plain(adopted.left_out).literal("}");
            }
        }
        self.next_cursor(&mut json, walk, at.next.as_ref().map(Stage::to_text));
        json
    }

    /// Takes one step. What does not go is given up: a freeze that no run can end would be one for good.
    async fn step<A: Apart>(
        &self,
        adoption: &Adoption<'_, A>,
        stage: Stage,
        adopted: Option<Adopted>,
    ) -> Result<At, Problem> {
        let Adoption {
            store, to, rehearsal, ..
        } = adoption;
        let (run, stepped) = match stage {
            Stage::Expect(run) => {
                return Ok(match store.expect(to, run).await? {
                    Some(adopted) => At::left(run, adopted),
                    None => At::on(Stage::Copy(run, None)),
                });
            }
            Stage::Leave(run) => {
                let more = store.leave(run).await?;
                let next = more.then_some(Stage::Leave(run));
                return Ok(At { next, adopted });
            }
            Stage::Copy(run, after) => (run, self.copy(adoption, run, after).await),
            Stage::Decide(run) => (run, adoption.decide(run).await),
        };
        match stepped {
            Ok(Some(at)) => Ok(at),
            Ok(None) => match store.adopted(to, run).await? {
                // This was done before, and its answer was not heard.
                Some(adopted) if !rehearsal => Ok(At::left(run, adopted)),
                _ => Err(Problem::conflict(OVERTAKEN)),
            },
            Err(Unable::Given(problem)) => match store.give_up(to, run).await? {
                Some(adopted) if !rehearsal => Ok(At::left(run, adopted)),
                _ => Err(problem),
            },
            Err(Unable::Now(error)) => Err(error.into()),
        }
    }

    /// Copies a batch, each connection sealed for its new owner; `None` where there is no room for it any more.
    async fn copy<A: Apart>(
        &self,
        adoption: &Adoption<'_, A>,
        run: Run,
        after: Option<Place>,
    ) -> Result<Option<At>, Unable> {
        let Adoption { store, from, to, .. } = adoption;
        let Step { found, next } = store.leaving(after, limits::RESEALED).await?;
        let mut parts = Vec::with_capacity(found.len());
        for part in found {
            parts.push(match part {
                Part::Connection(record, attachments) => {
                    let record = to.record(&self.ring, &self.host, &from.tenant, record);
                    Part::Connection(record.map_err(|refusal| refused(&refusal))?, attachments)
                }
                part => part,
            });
        }
        let next = next.map_or(Stage::Decide(run), |next| Stage::Copy(run, Some(next)));
        Ok(store.arrive(to, run, parts).await?.then(|| At::on(next)))
    }
}

/// Where an adoption is after a step, and what it came to as far as this call knows.
#[derive(Default)]
struct At {
    next: Option<Stage>,
    adopted: Option<Adopted>,
}

impl At {
    fn on(stage: Stage) -> Self {
        Self {
            next: Some(stage),
            adopted: None,
        }
    }

    /// It is decided, and what is left behind is to be taken away.
    fn left(run: Run, adopted: Adopted) -> Self {
        Self {
            next: Some(Stage::Leave(run)),
            adopted: Some(adopted),
        }
    }
}

/// Why a step is not taken.
enum Unable {
    /// It never will be, and the caller is told this.
    Given(Problem),
    /// It may be another time.
    Now(StoreError),
}

impl From<Problem> for Unable {
    fn from(problem: Problem) -> Self {
        Self::Given(problem)
    }
}

impl From<StoreError> for Unable {
    fn from(error: StoreError) -> Self {
        match error {
            damaged @ StoreError::Damaged(_) => Self::Given(damaged.into()),
            error => Self::Now(error),
        }
    }
}

struct Adoption<'a, A> {
    store: &'a A,
    from: Caller,
    to: &'a NewOwner,
    rehearsal: bool,
}

impl<A: Apart> Adoption<'_, A> {
    /// What its cursors are for.
    fn walk(&self) -> String {
        let NewOwner { tenant, subject } = self.to;
        let length = tenant.as_str().len();
        format!("adopt {} {length} {tenant}{subject}", self.rehearsal)
    }

    /// Begins a run with this number, or gives one up that is under way.
    async fn begin(&self, number: u128, mode: Mode) -> Result<Option<Run>, Problem> {
        let first = Run::first(number);
        if mode == Mode::Rehearse {
            return match self.store.begun().await? {
                None => Ok(Some(first)),
                Some(to) => Err(begun(&to)),
            };
        }
        let run = match self.store.freeze(self.to, first).await? {
            Begun::Frozen(run) => run,
            Begun::Other(to) => return Err(begun(&to)),
        };
        if mode == Mode::Adopt {
            return Ok(Some(run));
        }
        // What another run left there goes as well.
        match self.store.expect(self.to, run).await? {
            Some(_) => Err(Problem::conflict(DECIDED)),
            None => self
                .store
                .give_up(self.to, run)
                .await
                .map(|_| None)
                .map_err(Problem::from),
        }
    }

    /// `None` where another run came between.
    async fn decide(&self, run: Run) -> Result<Option<At>, Unable> {
        match self.store.decide(self.to, run, self.rehearsal).await? {
            Decided::Adopted(adopted) if self.rehearsal => Ok(Some(At {
                next: None,
                adopted: Some(adopted),
            })),
            Decided::Adopted(adopted) => Ok(Some(At::left(run, adopted))),
            Decided::Refused(why) => Err(Problem::conflict(format!("Nothing was adopted: {why}.")).into()),
            Decided::Overtaken => Ok(None),
        }
    }
}

fn begun(to: &NewOwner) -> Problem {
    let NewOwner { tenant, subject } = to;
    Problem::conflict(format!(
        "The adoption by `{subject}` of `{tenant}` has begun: run that one again until it ends, or have it given up."
    ))
}

fn refused(refusal: &Refusal) -> Problem {
    Problem::conflict(format!("Nothing was adopted: {refusal}."))
}
