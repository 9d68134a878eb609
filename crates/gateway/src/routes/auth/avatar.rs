//! Pictures of people. A client sends the picture itself; what is kept and served is one that we have drawn (`pictures`).

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder, delete, get,
    http::header,
    put,
    web::{Data, Json, Payload},
};
use picket_blobs::{BlobError, BlobKey};
use picket_domain::{AuditAction, AvatarId, Dialect, UserId};
use picket_store::{audit, avatars};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{App, Caller, Problem, RequestContext, body, caller::Person, pictures, routes::reports::range::names_etag};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(put_avatar).service(delete_avatar).service(get_avatar);
}

/// The picture itself.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "only its schema is used")]
struct Picture(Vec<u8>);

/// Where a person's picture is.
#[derive(Serialize, ToSchema)]
struct AvatarView {
    /// The path to get it from.
    #[schema(example = "/api/v1/auth/avatar")]
    avatar_url: &'static str,
    /// Pixels of a side.
    size: u32,
}

/// Set one's picture.
///
/// The body is the picture: PNG, JPEG or WebP, at most 2 MiB and 4096 by 4096 pixels. It is drawn anew as a PNG of 256 by
/// 256 pixels, without metadata; of an animation the first frame is kept.
#[utoipa::path(
    tag = "authentication",
    request_body(content((Picture = "image/png"), (Picture = "image/jpeg"), (Picture = "image/webp"))),
    responses(
        (status = 200, description = "Set.", body = AvatarView),
        (status = 413, description = "The body is larger than 2 MiB.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 415, description = "The body is no PNG, JPEG or WebP.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[put("/auth/avatar")]
async fn put_avatar(
    app: Data<App>,
    context: RequestContext,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<Json<AvatarView>, Problem> {
    let person = caller.person()?;
    let format = check_headers(&request)?;
    let file = body::read(&request, payload.into_inner(), pictures::LONGEST_BYTES).await?;
    let drawn = app.pictures.avatar(format, file).await?;
    let avatar = AvatarId::mint(app.clock.now());
    app.blobs.put(&BlobKey::avatar(person.user_id, avatar), drawn.into()).await.map_err(unavailable)?;
    // When this fails, the new one stays where nobody sees it: whether it was committed may be unknown.
    let before = replace(&app, &context, person, Some(avatar)).await?;
    discard(&app, person.user_id, before).await;
    Ok(Json(AvatarView { avatar_url: path(context.dialect), size: pictures::SIDE }))
}

/// Take one's picture away.
#[utoipa::path(tag = "authentication", responses((status = 204, description = "There is none any more.")))]
#[delete("/auth/avatar")]
async fn delete_avatar(app: Data<App>, context: RequestContext, caller: Caller) -> Result<HttpResponse, Problem> {
    let person = caller.person()?;
    let before = replace(&app, &context, person, None).await?;
    discard(&app, person.user_id, before).await;
    Ok(HttpResponse::NoContent().finish())
}

/// Get one's picture.
#[utoipa::path(
    tag = "authentication",
    responses(
        (status = 200, description = "The picture.", body = Picture, content_type = "image/png"),
        (status = 304, description = "It is the one that `If-None-Match` names."),
        (status = 404, description = "There is none.", body = crate::ProblemView, content_type = "application/problem+json")
    )
)]
#[get("/auth/avatar")]
async fn get_avatar(app: Data<App>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let person = caller.person()?;
    let avatar = app
        .db
        .operate("get_avatar", async |tx| Ok::<_, Problem>(avatars::find(tx, person.user_id).await?))
        .await?
        .ok_or(Problem::NotFound("avatar"))?;
    let etag = format!("\"{avatar}\"");
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if names_etag(known, &etag) {
        return Ok(head(HttpResponse::NotModified(), &etag).finish());
    }
    let picture = app.blobs.get(&BlobKey::avatar(person.user_id, avatar), pictures::LARGEST_DRAWN).await;
    let picture = picture.map_err(|error| match error {
        // Replaced since it was looked up.
        BlobError::NotFound { .. } => Problem::NotFound("avatar"),
        error @ (BlobError::Store(_)
        | BlobError::Range { .. }
        | BlobError::TooLarge { .. }
        | BlobError::Folder { .. }
        | BlobError::Source(_)) => unavailable(error),
    })?;
    Ok(head(HttpResponse::Ok(), &etag).content_type("image/png").body(picture))
}

/// Media type, encoding and announced length, before a byte is read.
fn check_headers(request: &HttpRequest) -> Result<image::ImageFormat, Problem> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let media_type = header(header::CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default();
    let format =
        pictures::format(media_type).ok_or(Problem::UnsupportedMediaType("image/png, image/jpeg or image/webp"))?;
    if header(header::CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Problem::UnsupportedMediaType("an image without content encoding"));
    }
    let announced = header(header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > pictures::LONGEST_BYTES) {
        return Err(Problem::TooLarge { limit_bytes: pictures::LONGEST_BYTES });
    }
    Ok(format)
}

/// Names another picture as the person's; returns the one before.
async fn replace(
    app: &App,
    context: &RequestContext,
    person: Person,
    new: Option<AvatarId>,
) -> Result<Option<AvatarId>, Problem> {
    let actor = person.user_id.to_string();
    let view = |avatar: Option<AvatarId>| avatar.map_or(Value::Null, |id| json!({"avatar": id.to_string()}));
    app.db
        .operate("replace_avatar", async |tx| {
            let before = avatars::find(tx, person.user_id).await?;
            let entry = context.entry(app.clock.now(), &actor, AuditAction::AvatarChanged, Some(actor.clone()));
            audit::record(tx, person.organization_id, &entry.change(Some(view(before)), Some(view(new)))).await?;
            Ok(avatars::replace(tx, person.user_id, new).await?)
        })
        .await
}

/// Deletes what nobody sees any more; a picture that stays is no harm, so nobody is told but the log.
async fn discard(app: &App, user: UserId, avatar: Option<AvatarId>) {
    let Some(avatar) = avatar else { return };
    if let Err(error) = app.blobs.delete(&BlobKey::avatar(user, avatar)).await {
        tracing::warn!(error = picket_domain::cause(&error), "a picture that nobody needs was not deleted");
    }
}

/// What every answer says of the picture. Should a browser take it for a page all the same, it may do nothing.
fn head(mut answer: HttpResponseBuilder, etag: &str) -> HttpResponseBuilder {
    answer
        .insert_header((header::ETAG, etag.to_owned()))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::CONTENT_DISPOSITION, "inline; filename=\"avatar.png\""))
        .insert_header((header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"))
        // Compressed already.
        .insert_header((header::CONTENT_ENCODING, "identity"));
    answer
}

/// Where a client of that version finds its picture.
pub(super) const fn path(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::V1 => "/api/v1/auth/avatar",
        Dialect::V2 => "/api/v2/auth/avatar",
    }
}

fn unavailable(error: BlobError) -> Problem {
    if matches!(error, BlobError::Store(_)) { Problem::Unavailable(Box::new(error)) } else { Problem::internal(error) }
}
