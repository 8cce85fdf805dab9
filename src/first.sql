-- vecpg: complain if this script is sourced in psql, rather than by CREATE EXTENSION
\echo Use "CREATE EXTENSION vecpg" to load this file. \quit
