//! `admin/adopt`: gives somebody what was stored while authentication was off, where each tenant is kept apart.

use crate::adoption::apart::{Apart, Begun, Decided, Part, Run};
use crate::adoption::{Adopted, NewOwner, Refusal};
use crate::api::Host;
use crate::audit::Note;
use crate::identity::Authentication;
use crate::limits;
use crate::model::{Caller, Person, Tenant};
use crate::problem::Problem;
use crate::registry::{Registry, noted};
use crate::rotation::Place;
use crate::store::Store;
use crate::wire::{Fields, Json};

const NOT_APART: &str = "This server does not adopt when it is asked to: run `patchbay adopt` on what it stores.";
const NOT_LET: &str =
    "`tenant` must be the one that PATCHBAY_ADOPT_TENANT names: whoever deploys the server says so first.";
const STILL_OFF: &str = "Turn authentication on first: without it all that comes is `anonymous`'s again.";
const OVERTAKEN: &str = "Nothing was adopted: another run of it came between. Begin again, without a `cursor`.";

/// What a call of `admin/adopt` says.
pub(crate) struct Adopt {
    to: NewOwner,
    rehearsal: bool,
    cursor: Option<String>,
}

/// Reads a call of `admin/adopt`.
pub(crate) fn adopt_fields(body: &[u8]) -> Result<Adopt, Problem> {
    let fields = Fields::parse(body, &["tenant", "owner", "dry_run", "cursor"])?;
    Ok(Adopt {
        to: NewOwner {
            tenant: fields.required("tenant", fields.text("tenant", Tenant::new)?)?,
            subject: fields.required("owner", fields.subject("owner")?)?,
        },
        rehearsal: fields.flag("dry_run", false)?,
        cursor: fields.any_text("cursor")?,
    })
}

/// How far an adoption is that goes on from call to call.
enum Stage {
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
        let Adopt { to, rehearsal, cursor } = adopt_fields(body)?;
        let adoption = Adoption {
            store: self.store.apart().ok_or_else(|| Problem::not_implemented(NOT_APART))?,
            from: to.previous().map_err(|refusal| refused(&refusal))?,
            to: &to,
            rehearsal,
        };
        if allowed != Some(&to.tenant) {
            return Err(Problem::forbidden(NOT_LET));
        }
        if let Authentication::Off(_) = self.config.authentication {
            return Err(Problem::conflict(STILL_OFF));
        }
        // Unlike what an operator does otherwise, it is about one tenant.
        note.add(|record| {
            record.tenant = Some(to.tenant.clone());
            record.member = Some(Person::Subject(to.subject.clone()));
        });

        let walk = adoption.walk();
        let end = self.end();
        let mut adopted = None;
        let mut stage = match self.walked(cursor, &walk, Stage::of_text)? {
            Some(stage) => Some(stage),
            None => {
                let run = adoption.begin(u128::from_be_bytes(self.random())).await?;
                adopted = adoption.store.expect(&to, run).await?;
                Some(match adopted {
                    Some(_) => Stage::Leave(run),
                    None => Stage::Copy(run, None),
                })
            }
        };
        for _ in 1..limits::WALK_STEPS {
            let Some(now) = stage.take_if(|_| self.host.now() < end) else {
                break;
            };
            stage = match now {
                Stage::Copy(run, after) => Some(self.copy(&adoption, run, after).await?),
                Stage::Decide(run) => {
                    adopted = Some(adoption.decide(run).await?);
                    (!rehearsal).then_some(Stage::Leave(run))
                }
                Stage::Leave(run) => adoption.store.leave(run).await?.then_some(Stage::Leave(run)),
            };
        }

        let mut json = Json::default();
        json.literal("{\"adopted\":");
        match adopted {
            None => _ = json.literal("null"),
            Some(adopted) => {
                if !rehearsal {
                    noted(note, usize::try_from(adopted.connections).unwrap_or(usize::MAX));
                }
                json.literal("{\"connections\":").plain(adopted.connections);
                json.literal(",\"workspaces\":").plain(adopted.workspaces);
                json.literal(",\"left_out\":").plain(adopted.left_out).literal("}");
            }
        }
        self.next_cursor(&mut json, &walk, stage.map(|stage| stage.to_text()));
        Ok(json)
    }

    /// Copies a batch, each connection sealed for its new owner.
    async fn copy<A: Apart>(
        &self,
        adoption: &Adoption<'_, A>,
        run: Run,
        after: Option<Place>,
    ) -> Result<Stage, Problem> {
        let Adoption { store, from, to, .. } = adoption;
        let step = store.leaving(after, limits::RESEALED).await?;
        let arriving = step.found.into_iter().map(|part| match part {
            Part::Connection(record, attachments) => {
                let record = to.record(&self.ring, &self.host, &from.tenant, record)?;
                Ok(Part::Connection(record, attachments))
            }
            part => Ok(part),
        });
        match arriving.collect() {
            Ok(parts) => match store.arrive(to, run, parts).await? {
                true => Ok(step
                    .next
                    .map_or(Stage::Decide(run), |next| Stage::Copy(run, Some(next)))),
                false => Err(Problem::conflict(OVERTAKEN)),
            },
            Err(refusal) => {
                store.give_up(to, run).await?;
                Err(refused(&refusal))
            }
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

    /// A run with this number.
    async fn begin(&self, number: u128) -> Result<Run, Problem> {
        let first = Run::first(number);
        if self.rehearsal {
            return Ok(first);
        }
        match self.store.freeze(self.to, first).await? {
            Begun::Frozen(run) => Ok(run),
            Begun::Other(NewOwner { tenant, subject }) => Err(Problem::conflict(format!(
                "The adoption by `{subject}` of `{tenant}` has begun: run that one again until it ends."
            ))),
        }
    }

    async fn decide(&self, run: Run) -> Result<Adopted, Problem> {
        match self.store.decide(self.to, run, self.rehearsal).await? {
            Decided::Adopted(adopted) => Ok(adopted),
            Decided::Refused(why) => Err(Problem::conflict(format!("Nothing was adopted: {why}."))),
            Decided::Overtaken => Err(Problem::conflict(OVERTAKEN)),
        }
    }
}

fn refused(refusal: &Refusal) -> Problem {
    Problem::conflict(format!("Nothing was adopted: {refusal}."))
}
