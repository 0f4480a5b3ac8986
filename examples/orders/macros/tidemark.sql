{#- The wiring of the engine: what dbt looks up in the root project alone. `tidemark init` writes this file. -#}

{%- macro tidemark_wiring() -%}{{ return(1) }}{%- endmacro %}
{%- macro should_full_refresh() -%}{{ return(tidemark.should_full_refresh()) }}{%- endmacro %}
{%- macro drop_relation_if_exists(relation) -%}{{ return(tidemark.drop_relation_if_exists(relation)) }}{%- endmacro %}
{%- macro get_incremental_partitions_sql(args) -%}
    {{ return(tidemark.get_incremental_partitions_sql(args)) }}
{%- endmacro %}
{%- macro get_incremental_replay_sql(args) -%}{{ return(tidemark.get_incremental_replay_sql(args)) }}{%- endmacro %}
{%- macro get_incremental_sessions_sql(args) -%}{{ return(tidemark.get_incremental_sessions_sql(args)) }}{%- endmacro %}
{%- macro get_incremental_full_sql(args) -%}{{ return(tidemark.get_incremental_full_sql(args)) }}{%- endmacro %}
