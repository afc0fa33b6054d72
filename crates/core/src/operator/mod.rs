//! The operator's operations: what each key seals, sealing again what others than the first one sealed, and [`adopt`].

mod adopt;

pub(crate) use self::adopt::adopt_fields;
use crate::api::Host;
use crate::audit::Note;
use crate::limits;
use crate::model::Timestamp;
use crate::problem::Problem;
use crate::registry::{Registry, noted};
use crate::rotation::{self, Counted, KeyStatus, Left, Place, Proof, Resealed, Sealings, Search, Step, Unproved};
use crate::store::Store;
use crate::wire::{Fields, Json};

/// What a cursor of each walk is for.
const STATUS: &str = "keys/status";
const RESEAL: &str = "keys/reseal";
const NO_SEALINGS: &str = "This server cannot rotate its keys.";
/// What is left that one line of the log names.
const NAMED: usize = 20;

/// How far a rotation is that goes on from call to call.
enum Stage {
    /// It looks for a record that shows the sealing key's secret to be right.
    Prove(Search),
    /// It seals again, from this place on.
    Seal(Option<Place>),
}

impl Stage {
    /// As a cursor's text.
    fn to_text(&self) -> String {
        match self {
            Self::Prove(Search { after, failed }) => {
                let place = after.as_ref().map_or("", |place| &place.0);
                format!("p{failed} {place}")
            }
            Self::Seal(after) => format!("s{}", after.as_ref().map_or("", |place| &place.0)),
        }
    }

    fn of_text(text: &str) -> Option<Self> {
        let place = |text: &str| Some(Place(text.to_owned())).filter(|place| !place.0.is_empty());
        if let Some(after) = text.strip_prefix('s') {
            return Some(Self::Seal(place(after)));
        }
        let (failed, after) = text.strip_prefix('p')?.split_once(' ')?;
        Some(Self::Prove(Search {
            after: place(after),
            failed: failed.parse().ok()?,
        }))
    }
}

/// What a call of `admin/keys/status` says: its cursor.
pub(crate) fn status_fields(body: &[u8]) -> Result<Option<String>, Problem> {
    Fields::parse(body, &["cursor"])?.any_text("cursor")
}

/// What a call of `admin/keys/reseal` says: its limit and its cursor.
pub(crate) fn reseal_fields(body: &[u8]) -> Result<(u16, Option<String>), Problem> {
    let fields = Fields::parse(body, &["limit", "cursor"])?;
    let limit = fields.limit("limit")?.unwrap_or(limits::DEFAULT_PAGE);
    Ok((limit, fields.any_text("cursor")?))
}

impl<S: Store, H: Host> Registry<S, H> {
    /// `admin/keys/status`: as many records as there is time for.
    pub(crate) async fn key_status(&self, body: &[u8]) -> Result<Json, Problem> {
        let mut after = self.walked(status_fields(body)?, STATUS, |text| Some(Place(text.to_owned())))?;
        let (store, end) = (sealings(&self.store)?, self.end());
        let mut counted = Counted::default();
        for _ in 0..limits::WALK_STEPS {
            let Step { found, next } = store.count_sealed(after).await?;
            counted.add(found);
            after = next;
            if after.is_none() || self.host.now() >= end {
                break;
            }
        }
        let mut json = Json::default();
        json.literal("{\"keys\":[");
        json.each(rotation::statuses(&self.ring, &counted.under), |json, status| {
            let KeyStatus {
                id,
                records,
                sealing,
                available,
            } = status;
            json.literal("{\"id\":\"").plain(id);
            json.literal("\",\"records\":").plain(records);
            json.literal(",\"sealing\":").plain(sealing);
            json.literal(",\"available\":").plain(available).literal("}");
        });
        json.literal("]");
        if counted.unreadable > 0 {
            json.literal(",\"unreadable\":").plain(counted.unreadable);
        }
        self.next_cursor(&mut json, STATUS, after.map(|place| place.0));
        Ok(json)
    }

    /// `admin/keys/reseal`: as many records as are asked for, and there is time for. Gives also what the log is to say of
    /// what is left.
    pub(crate) async fn reseal(&self, body: &[u8], note: &mut Note) -> Result<(Json, Option<String>), Problem> {
        let (limit, cursor) = reseal_fields(body)?;
        let began = self.walked(cursor, RESEAL, Stage::of_text)?;
        let noting = self.noting(note);
        let (store, end) = (sealings(&*noting)?, self.end());
        let (mut records, mut left) = (noted(note, 0), Vec::new());
        let mut stage = began.unwrap_or(Stage::Prove(Search::default()));
        let mut steps = 0..limits::WALK_STEPS;
        let next = loop {
            let most = usize::from(limit).saturating_sub(records + left.len());
            if most == 0 || steps.next().is_none() || self.host.now() >= end {
                break Some(stage);
            }
            stage = match stage {
                Stage::Prove(search) => match rotation::prove(store, &self.ring, search).await? {
                    Proof::Search(on) => Stage::Prove(on),
                    Proof::Opens | Proof::Nothing => Stage::Seal(None),
                },
                Stage::Seal(after) => {
                    let most = u16::try_from(most).unwrap_or(limit);
                    let Resealed {
                        records: more,
                        left: also,
                        next,
                    } = rotation::reseal(store, &self.ring, &self.host, after, most).await?;
                    records = noted(note, records + more);
                    left.extend(also);
                    match next {
                        None => break None,
                        // What it changed has its one record already.
                        after if noting.keeps() && records > 0 => break Some(Stage::Seal(after)),
                        after => Stage::Seal(after),
                    }
                }
            };
        };
        let mut json = Json::default();
        json.literal("{\"resealed\":").plain(records);
        self.next_cursor(&mut json, RESEAL, next.map(|stage| stage.to_text()));
        Ok((json, told(&left)))
    }

    /// When a call that takes many steps has taken enough of them.
    fn end(&self) -> Timestamp {
        Timestamp::from_micros(self.host.now().as_micros().saturating_add(limits::WALK_MICROS))
    }

    /// Where a walk goes on, as `parse` takes it from what its cursor holds.
    fn walked<T>(
        &self,
        cursor: Option<String>,
        walk: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(cursor) = cursor else {
            return Ok(None);
        };
        let place = self.ring.open_walk_cursor(walk, &cursor).and_then(|text| parse(&text));
        let wrong =
            "`cursor` must be a `next_cursor` of this call, and the same key must seal still: else begin without one.";
        place.map(Some).ok_or(Problem::bad(wrong))
    }

    /// The end of an answer.
    fn next_cursor(&self, json: &mut Json, walk: &str, place: Option<String>) {
        if let Some(place) = place {
            json.literal(",\"next_cursor\":")
                .text(&self.ring.walk_cursor(&self.host, walk, &place));
        }
        json.literal("}");
    }
}

fn sealings<S: Store>(store: &S) -> Result<&S::Sealings, Problem> {
    store.sealings().ok_or_else(|| Problem::not_implemented(NO_SEALINGS))
}

/// What the log says of what is not sealed again.
fn told(left: &[Left]) -> Option<String> {
    let named: Vec<String> = left.iter().take(NAMED).map(ToString::to_string).collect();
    match left.len() {
        0 => None,
        all @ ..=NAMED => Some(format!("not sealed again: {all}: {}", named.join("; "))),
        all => Some(format!("not sealed again: {all}, of which: {}", named.join("; "))),
    }
}

impl From<Unproved> for Problem {
    fn from(unproved: Unproved) -> Self {
        match unproved {
            wrong @ Unproved::WrongSecret { .. } => Self::conflict(format!("Not begun: {wrong}.")),
            Unproved::Store(error) => error.into(),
        }
    }
}
