{% snapshot buyer_tiers %}
{{ config(unique_key='buyer', strategy='check', check_cols=['tier'], updated_at='synced_at') }}
select buyer, tier, synced_at from {{ ref('stg_buyers') }}
where {{ tidemark.valid_and_visible() }}
qualify {{ tidemark.latest_version(ref('stg_buyers')) }}
{% endsnapshot %}
