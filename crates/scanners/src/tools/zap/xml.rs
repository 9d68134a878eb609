//! ZAP's XML: sites with their alerts, which hold their pages; before 2.5 an alert could be of one page, without a list.

use std::io::BufRead;

use picket_domain::{Gap, Observation};

use super::alert::{Alert, Instance, MAX_PIECE_BYTES, MAX_TEXT_BYTES};
use crate::{
    Context, Parsed,
    page::Page,
    tally::Tally,
    text,
    xml::{self, Attributes, Handler, Root, tags},
};

tags! {
    Report = "OWASPZAPReport",
    Site = "site",
    Item = "alertitem",
    Plugin = "pluginid",
    Reference = "alertRef",
    Alert = "alert",
    Name = "name",
    Risk = "riskcode",
    Confidence = "confidence",
    Description = "desc",
    Instance = "instance",
    Uri = "uri",
    Method = "method",
    Param = "param",
    Attack = "attack",
    Evidence = "evidence",
    Solution = "solution",
    Further = "otherinfo",
    References = "reference",
    Cwe = "cweid",
}

const ROOT: Root<Tag> = Root { tags: &[Tag::Report], doctypes: &[] };

pub(super) fn parse(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let mut reader = Reader {
        context,
        tally: Tally::new(sink),
        site: None,
        sites: 0,
        alert: Alert::default(),
        instance: Instance::default(),
        text: String::new(),
    };
    let fault = xml::read(input, ROOT, &mut reader).err();
    let Reader { tally, sites, .. } = reader;
    match fault {
        Some(fault) if fault.is_refusal() => tally.refuse(fault.to_string()),
        Some(fault) => tally.end(Some((Gap::OutputIncomplete, fault.to_string()))),
        None if sites == 0 => tally.end(Some((Gap::OutputIncomplete, "no site was examined".to_owned()))),
        None => tally.end(None),
    }
}

struct Reader<'s, 'c> {
    context: &'c Context<'c>,
    tally: Tally<'s>,
    site: Option<Page>,
    sites: u64,
    alert: Alert,
    /// The page that is read; of alerts without a list, their only one.
    instance: Instance,
    text: String,
}

impl Reader<'_, '_> {
    fn begin_site(&mut self, attributes: &Attributes<'_>) {
        self.sites = self.sites.saturating_add(1);
        self.site = None;
        attributes.each(|name, value| {
            if name == "name" {
                self.site = Page::of(value, self.context);
            }
        });
        if self.site.is_some() {
            self.tally.host_up();
        }
    }

    fn end_alert(&mut self) {
        self.end_instance();
        let alert = std::mem::take(&mut self.alert);
        alert.tell(self.site.as_ref(), self.context, &mut self.tally);
    }

    fn end_instance(&mut self) {
        let instance = std::mem::take(&mut self.instance);
        if !instance.uri.is_empty() {
            self.alert.push(instance);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most elements mean nothing here")]
    fn keep(&mut self, tag: Tag, value: String) {
        let (alert, instance) = (&mut self.alert, &mut self.instance);
        let short = |value: &str| text::prefix(value, MAX_PIECE_BYTES).to_owned();
        match tag {
            Tag::Plugin => alert.plugin = value,
            Tag::Reference => alert.reference = value,
            Tag::Alert if alert.name.is_empty() => alert.name = value,
            Tag::Name => alert.name = value,
            Tag::Risk => alert.risk = value,
            Tag::Confidence => alert.confidence = value,
            Tag::Description => alert.description = value,
            Tag::Solution => alert.solution = value,
            Tag::Further => alert.other = value,
            Tag::References => alert.references = value,
            Tag::Cwe => alert.cwe = value,
            Tag::Uri => instance.uri = short(&value),
            Tag::Method => instance.method = short(&value),
            Tag::Param => instance.param = short(&value),
            Tag::Attack => instance.attack = short(&value),
            Tag::Evidence => instance.evidence = short(&value),
            _ => {}
        }
    }
}

impl Handler<Tag> for Reader<'_, '_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most elements mean nothing here")]
    fn open(&mut self, tag: Tag, _: Tag, attributes: &Attributes<'_>) {
        self.text.clear();
        match tag {
            Tag::Site => self.begin_site(attributes),
            Tag::Item => {
                self.alert = Alert::default();
                self.instance = Instance::default();
            }
            Tag::Instance => self.instance = Instance::default(),
            _ => {}
        }
    }

    fn text(&mut self, _: Tag, piece: &str) {
        text::push(&mut self.text, piece, MAX_TEXT_BYTES);
    }

    fn close(&mut self, tag: Tag, parent: Tag) {
        let value = std::mem::take(&mut self.text).trim().to_owned();
        match (tag, parent) {
            (Tag::Item, _) => self.end_alert(),
            (Tag::Instance, _) => self.end_instance(),
            (_, Tag::Item | Tag::Instance) => self.keep(tag, value),
            _ => {}
        }
    }
}
