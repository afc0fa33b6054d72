//! `admin/adopt`: gives somebody what was stored while authentication was off, where each tenant is kept apart.

use crate::adoption::apart::{Apart as _, Ask, Decided, Part, Run, Told};
use crate::adoption::{Adopted, NewOwner, Refusal};
use crate::api::Host;
use crate::audit::{Kind, Note};
use crate::identity::Authentication;
use crate::limits;
use crate::model::{Caller, Person, Tenant};
use crate::problem::Problem;
use crate::registry::{Registry, noted};
use crate::rotation::{Place, Step};
use crate::seal::KeyRing;
use crate::store::{Store, StoreError};
use crate::wire::{Fields, Json};

const NOT_APART: &str = "This server does not adopt when it is asked to: run `patchbay adopt` on what it stores.";
const NOT_LET: &str =
    "`tenant` must be the one that PATCHBAY_ADOPT_TENANT names: whoever deploys the server says so first.";
const STILL_OFF: &str = "Turn authentication on first: without it all that comes is `anonymous`'s again.";
const DECIDED: &str = "It is adopted already, and cannot be given up: run it again until it ends.";
const OVERTAKEN: &str = "Nothing was adopted by this run, which is over: another came between, or its answer was lost, or \
                         something changed beside a rehearsal. Begin again, without a `cursor`.";

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
    let cursor = fields.any_text("cursor")?;
    if mode == Mode::GiveUp && cursor.is_some() {
        return Err(Problem::bad("`cursor` goes with no `give_up`."));
    }
    Ok(Adopt {
        to: NewOwner {
            tenant: fields.required("tenant", fields.text("tenant", Tenant::new)?)?,
            subject: fields.required("owner", fields.subject("owner")?)?,
        },
        mode,
        cursor,
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
        let store = self.store.apart().ok_or_else(|| Problem::not_implemented(NOT_APART))?;
        let from = to.previous().map_err(|refusal| refused(&refusal))?;
        let is_allowed = allowed == Some(&to.tenant);
        // What is given up is given to nobody.
        if !is_allowed && mode != Mode::GiveUp {
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

        let (ring, host) = (&*self.ring, &self.host);
        let mut adoption = Adoption {
            ring,
            host,
            from: &from,
            to: &to,
            mode,
            is_allowed,
            adopted: None,
        };
        let walk = adoption.walk();
        let stage = self.walked(cursor, &walk, Stage::of_text)?;
        // The first call ends with the beginning. So what is repeated for want of an answer has a cursor, and is told how
        // it ended.
        let begins = stage.is_none();
        let mut next = match stage {
            Some(stage) => Next::Pause(stage),
            None => adoption.begin(self.random()),
        };
        let (end, mut asked) = (self.end(), 0);
        let stage = loop {
            next = match next {
                Next::Ask(tenant, ask, state) => {
                    asked += 1;
                    let told = store.ask(tenant, ask).await;
                    let next = adoption.hear(state, told)?;
                    if let Some(adopted) = adoption.adopted.filter(|_| mode == Mode::Adopt) {
                        noted(note, usize::try_from(adopted.connections).unwrap_or(usize::MAX));
                    }
                    next
                }
                Next::Pause(stage) if begins || asked >= 2 * limits::WALK_STEPS || host.now() >= end => {
                    break Some(stage);
                }
                Next::Pause(stage) => adoption.go(stage),
                Next::End => break None,
            };
        };

        let mut json = Json::default();
        json.literal("{\"adopted\":");
        match adoption.adopted {
            None => _ = json.literal("null"),
            Some(adopted) => {
                json.literal("{\"connections\":").plain(adopted.connections);
                json.literal(",\"workspaces\":").plain(adopted.workspaces);
                json.literal(",\"left_out\":").plain(adopted.left_out).literal("}");
            }
        }
        self.next_cursor(&mut json, &walk, stage.map(|stage| stage.to_text()));
        Ok(json)
    }
}

/// An adoption during one call, apart from asking the store.
struct Adoption<'a, H> {
    ring: &'a KeyRing,
    host: &'a H,
    from: &'a Caller,
    to: &'a NewOwner,
    mode: Mode,
    /// Whether the tenant may be given anything.
    is_allowed: bool,
    /// What it came to, as far as this call knows.
    adopted: Option<Adopted>,
}

/// What comes next.
enum Next<'a> {
    /// To ask where this tenant is kept, and to hear what is told.
    Ask(&'a Tenant, Ask, State),
    /// A stage, in this call or another.
    Pause(Stage),
    End,
}

/// What was asked.
enum State {
    Begin(Run),
    /// What another run left is dropped before it is given up.
    GiveUp(Run),
    Expect(Run),
    /// Whether there is too much, before anything is copied.
    Room(Run),
    Leaving(Run),
    /// The next place.
    Arrive(Run, Option<Place>),
    Conflicts(Run),
    Decide(Run),
    /// Why it is given up, if not since somebody wants it to be.
    Forget(Run, Option<Problem>),
    Thaw(Option<Problem>),
    Leave(Run),
}

impl State {
    /// The run that is to be given up where this cannot be done.
    fn undecided(&self) -> Option<Run> {
        match self {
            Self::Room(run) | Self::Leaving(run) | Self::Arrive(run, _) | Self::Conflicts(run) | Self::Decide(run) => {
                Some(*run)
            }
            _ => None,
        }
    }
}

impl<'a, H: Host> Adoption<'a, H> {
    /// What its cursors are for.
    fn walk(&self) -> String {
        let NewOwner { tenant, subject } = self.to;
        let (rehearsal, length) = (self.is_rehearsal(), tenant.as_str().len());
        format!("adopt {rehearsal} {length} {tenant}{subject}")
    }

    fn is_rehearsal(&self) -> bool {
        self.mode == Mode::Rehearse
    }

    fn begin(&self, random: [u8; 16]) -> Next<'a> {
        let [a, b, c, d, e, f, g, h, ..] = random;
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let run = Run {
            adoption: number,
            run: number,
        };
        match self.mode {
            Mode::Adopt => self.freeze(run),
            Mode::Rehearse | Mode::GiveUp => self.ask_from(Ask::Begun, State::Begin(run)),
        }
    }

    fn freeze(&self, run: Run) -> Next<'a> {
        self.ask_from(Ask::Freeze(self.to.clone(), run), State::Begin(run))
    }

    fn ask_from(&self, ask: Ask, state: State) -> Next<'a> {
        Next::Ask(&self.from.tenant, ask, state)
    }

    fn ask_to(&self, ask: Ask, state: State) -> Next<'a> {
        Next::Ask(&self.to.tenant, ask, state)
    }

    fn go(&self, stage: Stage) -> Next<'a> {
        match stage {
            Stage::Expect(run) => self.expect(run, State::Expect(run)),
            Stage::Copy(run, None) => self.conflicts(run, State::Room(run)),
            Stage::Copy(run, after) => self.leaving(run, after),
            Stage::Decide(run) => self.conflicts(run, State::Conflicts(run)),
            Stage::Leave(run) => self.ask_from(Ask::Leave(run), State::Leave(run)),
        }
    }

    fn conflicts(&self, run: Run, state: State) -> Next<'a> {
        let frozen = (!self.is_rehearsal()).then_some(run);
        let crosses = self.from.tenant != self.to.tenant;
        self.ask_from(Ask::Conflicts(frozen, crosses), state)
    }

    fn leaving(&self, run: Run, after: Option<Place>) -> Next<'a> {
        self.ask_from(Ask::Leaving(after, limits::RESEALED), State::Leaving(run))
    }

    fn expect(&self, run: Run, state: State) -> Next<'a> {
        self.ask_to(Ask::Expect(run, self.is_rehearsal()), state)
    }

    /// In this order: nothing is expected of it any more when changes are made again.
    fn give_up(&self, run: Run, why: Option<Problem>) -> Next<'a> {
        self.ask_to(Ask::Forget(run), State::Forget(run, why))
    }

    fn decided(&mut self, run: Run, adopted: Adopted) -> Next<'a> {
        self.adopted = Some(adopted);
        match self.is_rehearsal() {
            true => Next::End,
            false => Next::Pause(Stage::Leave(run)),
        }
    }

    /// What comes after this was told. What cannot be done is given up: a freeze that no run can end would be one for good.
    fn hear(&mut self, state: State, told: Result<Told, StoreError>) -> Result<Next<'a>, Problem> {
        let told = match (told, state.undecided()) {
            (Ok(told), _) => told,
            (Err(damaged @ StoreError::Damaged(_)), Some(run)) => return Ok(self.give_up(run, Some(damaged.into()))),
            (Err(error), _) => return Err(error.into()),
        };
        Ok(match (state, told) {
            // Its freeze is taken over.
            (State::Begin(run), Told::UnderWay(Some(to))) if self.mode == Mode::GiveUp && to == *self.to => {
                self.freeze(run)
            }
            (State::Begin(_), Told::Frozen(run)) if self.mode == Mode::GiveUp => self.expect(run, State::GiveUp(run)),
            // There is none, but what a run may have left on its way.
            (State::Begin(run), Told::UnderWay(None)) if self.mode == Mode::GiveUp => match self.is_allowed {
                true => self.expect(run, State::GiveUp(run)),
                false => Next::End,
            },
            (State::Begin(_), Told::Frozen(run)) | (State::Begin(run), Told::UnderWay(None)) => {
                Next::Pause(Stage::Expect(run))
            }
            (State::Begin(_), Told::UnderWay(Some(NewOwner { tenant, subject }))) => {
                return Err(Problem::conflict(format!(
                    "The adoption by `{subject}` of `{tenant}` has begun: run that one again until it ends, or have it \
                     given up."
                )));
            }
            (State::GiveUp(run), Told::Adopted(None)) => self.give_up(run, None),
            (State::GiveUp(_), Told::Adopted(Some(_))) => return Err(Problem::conflict(DECIDED)),
            (State::Forget(..), Told::Adopted(Some(_))) if self.mode == Mode::GiveUp => {
                return Err(Problem::conflict(DECIDED));
            }

            (State::Expect(run), Told::Adopted(None)) => Next::Pause(Stage::Copy(run, None)),
            (State::Room(run) | State::Conflicts(run), Told::InTheWay(Some(there))) if there.too_much => {
                self.give_up(run, Some(refused(&Refusal::TooMuch)))
            }
            (State::Room(run), Told::InTheWay(Some(_))) => self.leaving(run, None),
            (State::Leaving(run), Told::Parts(Step { found, next })) => match self.sealed(found) {
                Ok(parts) => self.ask_to(Ask::Arrive(run, parts), State::Arrive(run, next)),
                Err(refusal) => self.give_up(run, Some(refused(&refusal))),
            },
            (State::Arrive(run, Some(next)), Told::Yes(true)) => Next::Pause(Stage::Copy(run, Some(next))),
            (State::Arrive(run, None), Told::Yes(true)) => Next::Pause(Stage::Decide(run)),
            (State::Conflicts(run), Told::InTheWay(Some(there))) => {
                let decide = Ask::Decide(self.to.clone(), run, there, self.is_rehearsal());
                self.ask_to(decide, State::Decide(run))
            }
            (State::Decide(run), Told::Decided(Decided::Adopted(adopted))) => self.decided(run, adopted),
            (State::Decide(run), Told::Decided(Decided::Refused(why))) => self.give_up(run, Some(nothing(&why))),

            // Which may be since it is decided, and the answer was not heard.
            (State::Arrive(run, _), Told::Yes(false))
            | (State::Room(run) | State::Conflicts(run), Told::InTheWay(None))
            | (State::Decide(run), Told::Decided(Decided::Overtaken)) => {
                self.give_up(run, Some(Problem::conflict(OVERTAKEN)))
            }
            (State::Expect(run) | State::Forget(run, _), Told::Adopted(Some(adopted))) => self.decided(run, adopted),
            (State::Forget(run, why), Told::Adopted(None)) => self.ask_from(Ask::Thaw(run), State::Thaw(why)),
            (State::Thaw(Some(why)), Told::Done) => return Err(why),
            (State::Thaw(None), Told::Done) | (State::Leave(_), Told::Yes(false)) => Next::End,
            (State::Leave(run), Told::Yes(true)) => Next::Pause(Stage::Leave(run)),
            _ => return Err(Problem::failed("the store answers what it was not asked")),
        })
    }

    /// Each connection sealed for its new owner.
    fn sealed(&self, parts: Vec<Part>) -> Result<Vec<Part>, Refusal> {
        let sealed = parts.into_iter().map(|part| match part {
            Part::Connection(record, attachments) => {
                let record = self.to.record(self.ring, self.host, &self.from.tenant, record)?;
                Ok(Part::Connection(record, attachments))
            }
            part => Ok(part),
        });
        sealed.collect()
    }
}

fn refused(refusal: &Refusal) -> Problem {
    nothing(&refusal.to_string())
}

fn nothing(why: &str) -> Problem {
    Problem::conflict(format!("Nothing was adopted: {why}."))
}
