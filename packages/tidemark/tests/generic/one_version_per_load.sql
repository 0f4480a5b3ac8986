{#- Duplicate detection on raw keys: several valid versions of one identity with the same load time. The tie rule
    decides between them, so the marts stay exact; the loader still wants to know. -#}
{% test one_version_per_load(model) %}

{% set identity = tidemark.setting('versions').get(model.identifier, {}).get('identity', []) | join(', ') %}

select {{ identity }}, {{ tidemark.staged('loaded_at') }}, count(*) as versions
from {{ model }}
where
    {{ tidemark.staged('quarantine_reason') }} is null
    and {{ tidemark.staged('loaded_at') }} is not null
    and {{ tidemark.loaded_since_passed() }}
group by {{ identity }}, {{ tidemark.staged('loaded_at') }}
having count(*) > 1

{% endtest %}
