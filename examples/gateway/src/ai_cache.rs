//! The AI cache, made of what it is told.

use http::{HeaderName, request::Parts};
use tower_keep::{AiCacheLayer, ConfigError, Keep, Principal, StoreKind, ai::Api};

mod settings;

pub(crate) use self::settings::AiCacheSettings;
use self::settings::{JsonRoute, ModelTtl, Secret};

impl AiCacheSettings {
    /// The layer. Whose answers a request may get is told by its credentials, or by its tenant alone
    /// if a trusted proxy has named that in `tenant_header`.
    pub(crate) fn layer(
        &self,
        keep: &Keep,
        upstream: &str,
        tenant_header: Option<&HeaderName>,
    ) -> Result<AiCacheLayer, ConfigError> {
        let mut builder = keep
            .ai_cache()
            .by_credentials(self.secret(keep)?)
            .opt_in(self.opt_in)
            .heed_callers(self.heed_callers)
            .sampled(self.sampled)
            .store_cut(self.store_cut)
            .replay_events(self.replay_events)
            .upstream(upstream)
            .epoch(self.epoch);
        if let Some(name) = tenant_header.cloned() {
            builder = builder.shared_where(move |head| names_its_tenant(head, &name));
        }
        if let Some(bytes) = self.max_request {
            builder = builder.max_request(bytes);
        }
        if let Some(bytes) = self.max_response {
            builder = builder.max_response(bytes);
        }
        if let Some(bytes) = self.capacity {
            builder = builder.capacity(bytes);
        }
        for JsonRoute(path, class) in &self.json_routes {
            builder = builder.route(path, Api::Json, *class);
        }
        for ModelTtl(model, ttl) in &self.model_ttls {
            builder = builder.model_ttl(model, *ttl);
        }
        builder.build()
    }

    fn secret(&self, keep: &Keep) -> Result<Vec<u8>, ConfigError> {
        if let Some(Secret(secret)) = &self.secret {
            return Ok(secret.clone().into_bytes());
        }
        if keep.health().store == StoreKind::Redis {
            tracing::warn!(
                "GATEWAY_AI_CACHE_SECRET is not set: answers of models are stored in Redis for this \
                 process alone, and not found after it ends"
            );
        }
        let mut secret = vec![0; 32];
        getrandom::fill(&mut secret)
            .map_err(|error| ConfigError::new("--ai-cache-secret", error.to_string()))?;
        Ok(secret)
    }
}

/// Whether this header is what the request's tenant was taken from. The door has removed it where
/// nobody is to believe it; what names no tenant has that of everybody, who share nothing.
fn names_its_tenant(head: &Parts, name: &HeaderName) -> bool {
    let tenant = Principal::of(&head.extensions).map(Principal::tenant);
    let mut lines = head.headers.get_all(name).iter();
    match (tenant, lines.next(), lines.next()) {
        (Some(tenant), Some(line), None) => line.as_bytes() == tenant.as_str().as_bytes(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use tower_keep::TenantId;

    use super::*;

    #[test]
    fn a_tenant_shares_only_by_the_word_it_was_taken_from() {
        let name = HeaderName::from_static("x-tenant-id");
        for (lines, tenant, shared) in [
            (&["acme"][..], Some("acme"), true),
            (&["acme"], Some("public"), false),
            (&["acme", "acme"], Some("acme"), false),
            (&[""], Some("public"), false),
            (&[], Some("public"), false),
            (&["acme"], None, false),
        ] {
            let mut request = Request::new(());
            for line in lines {
                request.headers_mut().append(&name, line.parse().unwrap());
            }
            if let Some(tenant) = tenant {
                request.extensions_mut().insert(Principal::new(TenantId::new(tenant).unwrap()));
            }
            let head = request.into_parts().0;
            assert_eq!(names_its_tenant(&head, &name), shared, "{lines:?} {tenant:?}");
        }
    }
}
